"""Statistics of each split, and how far two splits are apart."""
