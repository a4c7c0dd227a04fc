"""Losses of long texts: piece by piece, and by the position in the context."""
