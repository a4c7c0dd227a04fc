"""Conversations: messages, their layout as text, templates, and parsed answers."""
