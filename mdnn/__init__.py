"""Multidimensional neural networks."""
