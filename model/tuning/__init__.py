"""Tuning: what of a spec is varied, trials of it, and what they gave."""
