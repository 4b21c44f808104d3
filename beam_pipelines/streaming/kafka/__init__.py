"""Kafka: its client on this machine, rounds of offsets, and what Flink is told of it."""
