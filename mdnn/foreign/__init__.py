"""Weights of other projects: GGUF, Hugging Face folders and llama2.c's files become run folders."""
