"""Identities: a few learned numbers that turn a network to another text, weights unchanged."""
