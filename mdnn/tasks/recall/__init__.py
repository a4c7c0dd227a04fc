"""The task of recall and its evaluator."""
