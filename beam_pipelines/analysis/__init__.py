"""What is counted of the training split, and the constants that come of it."""
