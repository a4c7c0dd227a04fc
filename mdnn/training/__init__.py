"""Training, evaluation and their display."""
