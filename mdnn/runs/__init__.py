"""Run folders: reading, writing, inspection and quantization."""
