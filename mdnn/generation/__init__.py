"""Writing with a trained network."""
