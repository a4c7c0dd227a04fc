"""Writing with a trained network."""

from mdnn.generation.answers import generate

__all__ = ["generate"]
