"""Digests of work units: equal only where the same bytes are read in the same way."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator

from skewless.beam_pipelines.sources.avro.container import read_header
from skewless.beam_pipelines.sources.formats.parquet_reader import open_parquet
from skewless.beam_pipelines.sources.streams import chunks, open_raw
from skewless.beam_pipelines.sources.tables.bigquery import stream_batches
from skewless.beam_pipelines.sources.units import WorkUnit

__all__ = ["unit_sha256"]

_PARQUET_TAIL = 8


def unit_sha256(unit: WorkUnit) -> str:
    """Returns the digest of the bytes that a unit is read from, and of how they are read.

    The file's name plays no part, nor its time: a file that was moved is the same, one that was
    altered in place is another. Every byte of the unit is read once.
    """
    how = (unit.format, unit.compression, unit.first_row, unit.split, unit.columns, unit.encoding)
    digest = hashlib.sha256(repr(how).encode())
    if unit.table is not None:
        # Which snapshot plays no part, but what it says of the file.
        told = dataclasses.replace(unit.table, snapshot="", stream="")
        digest.update(repr(told).encode())
    for piece in _pieces(unit):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(unit: WorkUnit) -> Iterator[bytes]:
    if unit.format == "parquet":
        yield from _row_groups(unit)
    elif unit.format == "bigquery":
        for batch in stream_batches(unit):
            yield batch.serialize()
    elif unit.compression:
        # As it lies on disk: to decompress it takes longer than to digest it.
        yield from chunks(unit.file)
    else:
        if unit.format == "avro":
            # The header says how the blocks are decoded.
            yield repr(dataclasses.astuple(read_header(unit.file))).encode()
        yield from chunks(unit.file, "", unit.start, unit.end)


def _row_groups(unit: WorkUnit) -> Iterator[bytes]:
    """Yields the footer, which says how columns are decoded, and the row groups' own bytes."""
    with open_parquet(unit.file) as file:
        metadata = file.metadata
        end = metadata.num_row_groups if unit.end is None else unit.end
        groups = [metadata.row_group(index) for index in range(unit.start, end)]
        columns = [group.column(place) for group in groups for place in range(group.num_columns)]
        begins = [c.dictionary_page_offset or c.data_page_offset for c in columns]
        ends = [b + c.total_compressed_size for b, c in zip(begins, columns, strict=True)]
    yield repr((unit.start, end)).encode()
    with open_raw(unit.file) as raw:
        raw.seek(-_PARQUET_TAIL, os.SEEK_END)
        footer = int.from_bytes(raw.read(_PARQUET_TAIL)[:4], "little")
        raw.seek(-_PARQUET_TAIL - footer, os.SEEK_END)
        yield raw.read(footer)
    yield from chunks(unit.file, "", min(begins, default=0), max(ends, default=0))
