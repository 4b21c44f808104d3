"""Candidates and their index: read back from a job's files, put into an index, measured, opened."""
