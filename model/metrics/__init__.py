"""Metrics over predictions, their intervals, curves and slices."""
