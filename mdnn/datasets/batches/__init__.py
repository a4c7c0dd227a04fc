"""Batches that are a pure function of the seed and the step."""
