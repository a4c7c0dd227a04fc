"""Searches for good values of config keys by training many small runs."""
