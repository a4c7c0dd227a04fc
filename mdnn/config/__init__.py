"""What a config may say: its tables, the checks across them, and what each task allows."""
