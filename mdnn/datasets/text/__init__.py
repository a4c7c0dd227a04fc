"""Texts as datasets."""
