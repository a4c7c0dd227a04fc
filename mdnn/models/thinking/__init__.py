"""Recurrence on a network's own output: refeeding, halting and deep supervision."""
