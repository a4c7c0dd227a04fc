"""Training steps, one class for each backend that trains."""
