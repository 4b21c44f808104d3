"""Lists of a row that hold one thing for each of another's: weights, times, numbers."""
