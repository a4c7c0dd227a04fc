"""Native code: sources in C, compiling and loading them; products along axes for layers."""

from mdnn.native.native_setting import native_graphs

__all__ = ["native_graphs"]
