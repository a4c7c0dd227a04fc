"""Checks of files from strangers before anything in them is run or loaded."""
