"""Subword tokenizers: byte-level BPE and SentencePiece style, from a tokenizer.json."""
