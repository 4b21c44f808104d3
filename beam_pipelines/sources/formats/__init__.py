"""Readers, one a format: work units to raw batches."""
