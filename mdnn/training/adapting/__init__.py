"""Training that begins with a trained network: `mdnn adapt`, `mdnn distill`."""
