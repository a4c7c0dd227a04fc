"""Plans of training steps: which width of the network, or which part of its weights, is trained."""
