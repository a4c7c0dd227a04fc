"""Conversations with a network: sessions with tools, and `mdnn chat` in the terminal."""
