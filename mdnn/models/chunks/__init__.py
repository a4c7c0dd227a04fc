"""Subwords that a network forms itself: chunks of characters, mixed and expanded again."""
