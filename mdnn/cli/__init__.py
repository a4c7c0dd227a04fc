"""The command line."""

from mdnn.cli.parser import main

__all__ = ["main"]
