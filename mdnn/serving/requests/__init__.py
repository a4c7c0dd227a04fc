"""Requests to the server: reading, limits, arrays from JSON, checks."""
