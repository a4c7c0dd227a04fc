"""Growing networks: larger ones that compute the same function, with their training state."""
