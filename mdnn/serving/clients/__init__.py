"""Example clients of SavedModels."""
