"""Trackers: where a team gathers what all its trainings were made of and came to."""
