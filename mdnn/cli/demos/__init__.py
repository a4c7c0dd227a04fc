"""The demonstrations behind `make demo` and `make demo-digits`, `-thinking` and `-llama`."""
