"""Rows from Python: frames, Arrow tables, datasets and iterators of batches, as a file of input.

All of them speak Arrow's PyCapsule interface (`__arrow_c_stream__`: pandas, polars, pyarrow, DuckDB
and others), so none is needed here. Rows go to a Parquet file beside the output, batch by batch, and
are read from there by the same road as any other input; so records are the same as from that file.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from skewless.schemas.errors import UsageError

__all__ = ["TableLike", "as_globs", "reader_of"]

TableLike: TypeAlias = Any
"""What `reader_of` takes: whatever offers `__arrow_c_stream__`, a `pyarrow.dataset.Dataset`, or an
iterable of `pyarrow.RecordBatch`es."""

_NAME = "rows.parquet"


@contextlib.contextmanager
def as_globs(data: TableLike, output: str | Path) -> Iterator[list[str]]:
    """Gives globs to read `data` by, for as long as the context lasts.

    Args:
      data: A path or glob, several of them, or rows as `reader_of` takes them.
      output: Where the job leaves its result; rows are held in a hidden directory beside it.

    Raises:
      UsageError: If `data` is none of these, or no file can be written there.
    """
    if isinstance(data, str | os.PathLike):
        yield [os.fspath(data)]
        return
    if isinstance(data, Sequence) and data and all(isinstance(d, str | os.PathLike) for d in data):
        yield [os.fspath(item) for item in data]
        return
    reader = reader_of(data)
    beside = Path(output).absolute()
    beside.parent.mkdir(parents=True, exist_ok=True)
    directory = tempfile.mkdtemp(prefix=f".{beside.name}.rows-", dir=beside.parent)
    try:
        path = os.path.join(directory, _NAME)
        _write(reader, path)
        yield [path]
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def reader_of(data: TableLike) -> pa.RecordBatchReader:
    """Returns a reader of the rows of a frame, a table, a dataset or an iterable of batches.

    Raises:
      UsageError: If it is none of these, or an iterable without a first batch.
    """
    if hasattr(data, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(data)
    if hasattr(data, "scanner"):  # A dataset; importing its module takes half a second.
        return data.scanner().to_reader()
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | dict):
        batches = iter(data)
        first = next(batches, None)
        if isinstance(first, pa.RecordBatch):
            return pa.RecordBatchReader.from_batches(
                first.schema, itertools.chain([first], batches)
            )
    raise UsageError(
        "expected paths or globs, a DataFrame (pandas, polars), a pyarrow Table or Dataset, or an "
        f"iterable of pyarrow RecordBatches with at least one, got {type(data).__name__}"
    )


def _write(reader: pa.RecordBatchReader, path: str) -> None:
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetWriter(path, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(
            f"the rows cannot be written as Parquet: {error}; give columns other types"
        ) from error
