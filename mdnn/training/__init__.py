"""Trains networks: the training loop, steps, optimizers, checkpoints and progress display."""
