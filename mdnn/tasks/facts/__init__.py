"""Facts about networks, SavedModels and identities: what `mdnn inspect` prints."""
