"""Rows from Python: frames, Arrow tables, datasets and iterators of batches, as a file of input.

All of them speak Arrow's PyCapsule interface (`__arrow_c_stream__`: pandas, polars, pyarrow, DuckDB
and others), so none is needed here. Rows go to a Parquet file beside the output, batch by batch, and
are read from there by the same road as any other input; so records are the same as from that file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from skewless.frames.names import each_once
from skewless.frames.pandas_frame import pandas_table, table_of_dicts
from skewless.frames.polars_frame import polars_table
from skewless.schemas.errors import SkewlessError, UsageError
from skewless.schemas.rows.native.layouts import plain_layout

__all__ = ["TableLike", "as_globs", "reader_of"]

TableLike: TypeAlias = Any
"""What `reader_of` takes: whatever offers `__arrow_c_stream__` (DataFrames of pandas and polars, Arrow
tables), a LazyFrame, a `pyarrow.dataset.Dataset`, dicts, which are held in memory, or an iterable of
the others or of RecordBatches."""

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
    reader = _reader_of(data, None)
    if reader is None:
        raise _no_rows("paths or globs, ", data)
    beside = Path(output).absolute()
    beside.parent.mkdir(parents=True, exist_ok=True)
    directory = tempfile.mkdtemp(prefix=f".{beside.name}.rows-", dir=beside.parent)
    try:
        path = os.path.join(directory, _NAME)
        _write(reader, path)
        yield [path]
    except SkewlessError as error:
        # The file is gone by the time that this is read.
        error.args = tuple(str(said).replace(path, "the rows given") for said in error.args)
        raise
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def reader_of(data: TableLike, only: Container[str] | None = None) -> pa.RecordBatchReader:
    """Returns a reader of the rows of a frame, a table, a dataset, or an iterable of such or batches.

    Args:
      data: The rows.
      only: Columns that are read. Others may be left out, and are where they might not be held.

    Raises:
      UsageError: If it is none of these, or an iterable without a first batch; if two columns have
        one name, or a column cannot be held.
    """
    reader = _reader_of(data, only)
    if reader is None:
        raise _no_rows("", data)
    return reader


def _reader_of(data: TableLike, only: Container[str] | None) -> pa.RecordBatchReader | None:
    reader = _reader(data, only)
    if reader is None and isinstance(data, Iterable) and not isinstance(data, str | bytes | dict):
        reader = _of_parts(iter(data), only)
    if reader is not None:
        each_once(reader.schema.names, only)
    return reader


def _no_rows(paths: str, data: Any) -> UsageError:
    remedy = "make other rows a DataFrame, or a list of dicts"
    if isinstance(data, str | os.PathLike):
        remedy = "read the file first, as pandas.read_csv does, or give it to `skewless predict`"
    elif isinstance(data, Mapping):
        remedy = "give one row as [row], or columns as pandas.DataFrame(columns)"
    return UsageError(
        f"expected {paths}a DataFrame (pandas, polars), a pyarrow Table or Dataset, or an iterable of "
        f"these or of RecordBatches with at least one, got {type(data).__name__}; {remedy}"
    )


def _reader(data: TableLike, only: Container[str] | None) -> pa.RecordBatchReader | None:
    """Returns a reader of one table; None if it is none."""
    if isinstance(data, pa.RecordBatch):
        return pa.RecordBatchReader.from_batches(data.schema, [data])
    if _is(data, "pandas", "DataFrame"):
        return pandas_table(data, only).to_reader()
    if _is(data, "polars", "DataFrame", "LazyFrame"):
        return polars_table(data, only).to_reader()
    if isinstance(data, list) and data and all(isinstance(row, Mapping) for row in data):
        return table_of_dicts(data).to_reader()
    if hasattr(data, "scanner"):  # A dataset; importing its module takes half a second.
        return data.scanner().to_reader()
    if not hasattr(data, "__arrow_c_stream__"):
        return None
    try:
        return pa.RecordBatchReader.from_stream(data)
    except pa.ArrowException as error:
        # A Series is a stream too, of one nameless column.
        raise UsageError(
            f"expected a table, got {type(data).__name__}: {error}; make it a table with named "
            "columns of types that Arrow has"
        ) from error


def _is(data: Any, library: str, *names: str) -> bool:
    """Whether data is of a library's class, without loading the library."""
    loaded = sys.modules.get(library)
    return loaded is not None and isinstance(data, tuple(getattr(loaded, name) for name in names))


def _of_parts(parts: Iterator[Any], only: Container[str] | None) -> pa.RecordBatchReader | None:
    """Returns a reader of all parts' rows; None if the first is no table."""
    first = next(parts, None)
    if isinstance(first, Mapping):
        rows = [first, *parts]
        return _reader(rows, only)
    reader = _reader(first, only)
    if reader is None:
        return None
    schema = reader.schema

    def batches() -> Iterator[pa.RecordBatch]:
        yield from reader
        for at, part in enumerate(parts, 2):
            more = _reader(part, only)
            if more is None or not more.schema.equals(schema):
                got = type(part).__name__ if more is None else _in_short(more.schema)
                raise UsageError(
                    f"part {at} of the rows: expected the first's columns, {_in_short(schema)}, got "
                    f"{got}; give all parts the same columns and types"
                )
            yield from more

    return pa.RecordBatchReader.from_batches(schema, batches())


def _in_short(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _write(reader: pa.RecordBatchReader, path: str) -> None:
    import pyarrow.parquet as parquet

    schema = pa.schema([_stored(field) for field in reader.schema])
    try:
        with parquet.ParquetWriter(path, schema) as writer:
            for batch in reader:
                writer.write_batch(_as(batch, schema))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(
            f"the rows cannot be written as Parquet: {error}; give columns other types"
        ) from error


def _stored(field: pa.Field) -> pa.Field:
    """Returns a column as Parquet can hold it: not every dictionary, and no runs."""
    kind = field.type
    texts = pa.types.is_dictionary(kind) and (
        pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)
    )
    if texts or not (pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)):
        return field
    if pa.types.is_dictionary(kind):
        nothing = pa.DictionaryArray.from_arrays(
            pa.array([], kind.index_type), pa.array([], kind.value_type)
        )
    else:
        nothing = pa.array([], kind)
    return field.with_type(plain_layout(nothing).type)


def _as(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        column if column.type == field.type else plain_layout(column)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
