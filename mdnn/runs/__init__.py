"""The run folder: what is in it, and what is made of it."""
