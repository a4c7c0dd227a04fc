"""Generation: texts, items and answers to puzzles from trained networks."""
