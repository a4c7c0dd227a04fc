"""Networks: layers, building, forward passes, losses and caches."""
