"""Writing with a trained network."""

from mdnn.generation.generate import generate

__all__ = ["generate"]
