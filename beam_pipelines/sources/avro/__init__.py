"""Avro: container files of blocks, their schemas as types of Arrow, and rows."""
