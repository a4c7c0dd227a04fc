"""Running a network on its own output: refeeding, halting, deep supervision."""
