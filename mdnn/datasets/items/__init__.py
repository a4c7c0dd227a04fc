"""Datasets of items that belong together: texts, pictures, films, sounds."""
