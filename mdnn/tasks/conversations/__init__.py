"""The task of conversations and its evaluator."""
