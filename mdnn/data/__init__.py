"""Texts, batches and evaluation windows."""
