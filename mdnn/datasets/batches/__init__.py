"""Builds batches as pure functions of the seed and the step."""
