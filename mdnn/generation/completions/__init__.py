"""Completions of texts: requests, grammars, and answers in pieces."""
