"""Conversations: messages, their layout as a text, templates, and what an answer holds."""
