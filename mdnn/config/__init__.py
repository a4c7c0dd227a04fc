"""Configs: their tables, checks across tables, and the rules of each task."""
