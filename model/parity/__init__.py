"""The proof that what is served is what was trained."""
