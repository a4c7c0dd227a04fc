"""What a config may say: its tables, how it is read, and what goes together."""
