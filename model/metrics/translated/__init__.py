"""Texts that a model writes for a split, and how good they are."""
