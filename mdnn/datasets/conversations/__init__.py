"""Conversations as data: read from JSON lines, split, laid out as tokens."""
