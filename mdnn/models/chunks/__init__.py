"""Subwords that a network makes itself: chunks of characters, mixed and handed back."""
