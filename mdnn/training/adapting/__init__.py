"""Adapting a network to another text: `mdnn adapt`."""
