"""Checks untrusted files before anything in them is run or loaded."""
