"""Skewless: rows to TFRecords, a Keras model and served parity, from one declared spec."""
