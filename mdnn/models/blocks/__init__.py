"""Residual blocks, which a network is made of: feed-forward, linear, mixing, fold."""
