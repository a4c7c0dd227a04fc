"""Contexts in which something is to be found again."""
