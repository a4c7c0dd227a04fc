"""Growing a run: the whole training state of a larger network, stages, `mdnn grow`."""
