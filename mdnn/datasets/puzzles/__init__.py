"""Puzzles: tasks whose cases are drawn from a seed, files of puzzles, and pictures of both."""
