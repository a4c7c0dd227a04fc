"""Configs, networks built from them, and run folders."""
