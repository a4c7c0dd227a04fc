"""Completions: what is asked for, grammars, and the pieces in which texts are answered."""
