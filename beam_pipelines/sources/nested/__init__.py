"""Nested fields: columns named by a dotted path into objects of JSON, structs of Parquet and records of Avro."""
