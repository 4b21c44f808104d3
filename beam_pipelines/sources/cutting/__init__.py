"""Cutting: where big files fall into work units, found range by range, by any number of workers."""
