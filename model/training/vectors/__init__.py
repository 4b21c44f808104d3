"""Word vectors from files: which they are, and into which rows of the embedding tables they go."""
