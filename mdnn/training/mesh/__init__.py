"""Training on several devices, in one process or in many, on the JAX backend."""
