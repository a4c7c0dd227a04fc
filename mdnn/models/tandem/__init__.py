"""Several networks in tandem: one more axis over which all weights differ, one step for all."""
