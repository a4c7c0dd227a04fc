"""The demonstrations behind `make demo`, `make demo-digits` and `make demo-thinking`."""
