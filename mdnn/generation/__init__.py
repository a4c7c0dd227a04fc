"""Generates texts, items and answers to puzzles with trained networks."""
