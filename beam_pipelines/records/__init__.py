"""Transformed rows to TFRecord shards, and the account of every row."""
