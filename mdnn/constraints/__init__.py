"""Grammars of texts: regular expressions and JSON schemas as finite automata of characters."""
