"""A sample of rows as the graph will see them: UTF-8 text or lists of it, by column."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from skewless.beam_pipelines.init.columns import columns_of
from skewless.beam_pipelines.init.delimited.dialect import dialect_of
from skewless.beam_pipelines.init.delimited.number_format import NumberFormat, number_format
from skewless.beam_pipelines.init.pieces import (
    Text,
    pieces_of_parquet,
    pieces_of_text,
    transcoded,
    unpacked,
)
from skewless.beam_pipelines.sources.avro.reader import open_avro
from skewless.beam_pipelines.sources.files import file_bytes, whole_files
from skewless.beam_pipelines.sources.formats.csv_header import read_header
from skewless.beam_pipelines.sources.formats.jsonl_reader import parsed_object
from skewless.beam_pipelines.sources.formats.parquet_footer import not_read
from skewless.beam_pipelines.sources.formats.parquet_reader import (
    open_parquet,
    undecodable,
)
from skewless.beam_pipelines.sources.formats.text_blocks import lines_of
from skewless.beam_pipelines.sources.formats.tfrecord_reader import names_of_examples
from skewless.beam_pipelines.sources.nested.fields import leaf_columns
from skewless.beam_pipelines.sources.nested.json_names import SeenObjects
from skewless.beam_pipelines.sources.read import read
from skewless.beam_pipelines.sources.streams import chunks
from skewless.beam_pipelines.sources.tables.row_groups import read_row_groups, schema_of
from skewless.beam_pipelines.sources.units import RawBatch, WorkUnit
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.rows.csv_format import CsvFormat
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.rows.reasons import kind_of
from skewless.schemas.spec.spec import Spec, parse

__all__ = ["Sample", "take_sample"]

_ROWS_OF_A_GROUP = 8_192
# Values of all row groups together: a table of 100,000 columns is judged by fewer rows.
_CELLS = 10_000_000
_BYTES = 256 << 20
_PEEKED_BYTES = 256 * 1024


@dataclass(frozen=True)
class Sample:
    """Rows from all over the data.

    Attributes:
      columns: [rows] string or list<string> by name, as read; null where there is no value.
      rows: Rows in the sample.
      total: About how many rows all files hold.
      rejected: Records of the sample that could not be read as rows.
      unreadable: Why a column cannot be used at all, by its name.
      written: How delimited text is written.
      seen: What of it is out of the ordinary, and what it was told by.
    """

    columns: dict[str, pa.Array]
    rows: int
    total: int
    rejected: int
    unreadable: dict[str, str] = field(default_factory=dict)
    written: CsvFormat = field(default_factory=CsvFormat)
    seen: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every row is in it."""
        return self.total <= self.rows


def take_sample(inputs: Sequence[str]) -> Sample:
    """Reads about 24 MiB from places spread over all files; small files whole.

    Raises:
      UsageError: If a glob matches nothing, or a file has an ending that no reader takes.
      DataError: If a file is not what its ending says, or there is no row.
    """
    with tempfile.TemporaryDirectory(prefix="skewless-init-") as folder:
        files = whole_files(inputs, "DATA")
        _refuse_streams(files)
        dialect = dialect_of(files)
        spec = _draft(dialect.written)
        plain: list[Text] = []
        for whole in files:
            if whole.format != "parquet":
                plain.append(_text(whole, spec, folder))
        parquet = [whole for whole in files if whole.format == "parquet"]
        pieces, times = pieces_of_text(plain, spec)
        groups, parquet_rows = pieces_of_parquet(parquet)
        names, unreadable = _columns([*plain, *map(_whole_parquet, parquet)], pieces)
        for whole in files:
            unreadable |= _not_read(whole)
        names = [name for name in names if name not in unreadable]
        text_rows = _read(pieces, names, spec)
        group_rows = _read_groups(groups, names, spec, unreadable)
        tables = text_rows.tables + group_rows.tables
        rows = text_rows.rows + group_rows.rows
        if not rows:
            raise _no_rows(inputs, files, text_rows)
        total = parquet_rows + round(text_rows.rows * times)
        columns = columns_of(names, tables, spec, unreadable)
        rejected = text_rows.rejected + group_rows.rejected
        numbers = NumberFormat(dialect.written)
        if all(whole.format in ("csv", "tsv") for whole in files):
            numbers = number_format(columns, dialect.written)
        unreadable |= numbers.unreadable
        return Sample(
            {
                name: numbers.columns.get(name, columns[name])
                for name in columns
                if name not in unreadable
            },
            rows,
            max(rows, total),
            rejected,
            unreadable,
            numbers.written,
            dialect.seen + numbers.seen,
        )


def _refuse_streams(files: Sequence[WorkUnit]) -> None:
    for whole in files:
        if whole.format == "bigquery":
            raise UsageError(
                f"DATA {whole.file}: expected files to guess from; write the spec by hand, or give init a "
                "Parquet file with some rows of the table"
            )


@dataclass
class _Rows:
    tables: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)


def _no_rows(inputs: Sequence[str], files: Sequence[WorkUnit], read: _Rows) -> DataError:
    """Returns the error of files without a row that could be read, which may hold many that could not."""
    got = "none; give a file with rows"
    if read.reasons:
        [(kind, count), *others] = read.reasons.most_common()
        more = f" ({sum(read.reasons.values()) - count:,} for other reasons)" if others else ""
        remedy = "mend the file"
        if all(whole.format == "jsonl" for whole in files):
            remedy = "write each row as one JSON object on a line of its own, as UTF-8"
        got = f"none that can be read; of {count:,}{more}: {read.examples[kind]}; {remedy}"
    return DataError(f"{', '.join(inputs)}: expected at least one row to guess from, got {got}")


def _draft(written: CsvFormat) -> Spec:
    """Returns a spec that asks for nothing, which readers need."""
    features = {"any": {"type": "categorical"}}
    return parse({"name": "draft", "features": features, "csv": written.told()})


def _text(whole: WorkUnit, spec: Spec, folder: str) -> Text:
    given, times = whole, 1.0
    if whole.compression:
        whole, times = unpacked(whole, folder)
    size = file_bytes(whole.file)
    if whole.format in ("csv", "tsv"):
        delimiter = "\t" if whole.format == "tsv" else spec.csv.delimiter
        header = read_header(given.file, given.compression, delimiter, spec.csv)
        whole = dataclasses.replace(
            whole, columns=header.columns, start=header.start, encoding=header.encoding
        )
        if whole.encoding:
            whole, more = transcoded(whole, folder)
            size, times = file_bytes(whole.file), times * more
    if whole.format == "avro":
        begun, records = open_avro(whole.file)
        names = tuple(leaf_columns(records.schema))
        whole = dataclasses.replace(whole, columns=names, start=begun.end)
    return Text(whole, size - whole.start, (size - whole.start) * times)


def _whole_parquet(whole: WorkUnit) -> Text:
    with open_parquet(whole.file) as footer:
        names = tuple(leaf_columns(schema_of(whole, footer.schema_arrow)))
    return Text(dataclasses.replace(whole, columns=names), 0, 0.0)


def _not_read(whole: WorkUnit) -> dict[str, str]:
    """Returns why columns of a file with a schema have no form that a feature could read."""
    if whole.format == "avro":
        _, records = open_avro(whole.file)
        schema, found = records.schema, records.not_read
    elif whole.format == "parquet":
        with open_parquet(whole.file) as footer:
            schema, found = schema_of(whole, footer.schema_arrow), not_read(footer)
    else:
        return {}
    leaves = set(leaf_columns(schema))
    return {name: why for name, why in found.items() if name in leaves}


def _columns(files: Sequence[Text], pieces: Sequence[WorkUnit]) -> tuple[list[str], dict[str, str]]:
    """Returns the columns of all files, and those that preprocess would refuse, with the reason."""
    names: dict[str, None] = {}
    unreadable: dict[str, str] = {}
    headed = [file.unit for file in files if file.unit.columns]
    for unit in headed:
        for name, times in Counter(unit.columns).items():
            if not name:
                unreadable["(no name)"] = "its header is empty; name it in the file"
            elif times > 1:
                unreadable[name] = f"there are {times} columns of this name"
            else:
                names[name] = None
    objects = SeenObjects()
    for unit in pieces:
        if unit.format == "jsonl":
            for row in _objects(unit):
                objects.add(row)
        elif unit.format == "tfrecord":
            names |= dict.fromkeys(names_of_examples(unit))
    names |= dict.fromkeys(objects.names())
    unreadable |= objects.unreadable()
    for name in list(names):
        if (why := _unfit(name)) is not None:
            del names[name]
            # As it can be printed.
            unreadable[name.encode("utf-8", "backslashreplace").decode()] = why
    headers = [set(unit.columns) for unit in headed]
    for name in names:
        if any(name not in header for header in headers):
            unreadable[name] = "some files lack it; preprocess wants a column in every file"
    return [name for name in names if name not in unreadable], unreadable


def _unfit(name: str) -> str | None:
    """Returns why no spec can name a column, or None."""
    if "\0" in name:
        return "its name holds NUL; rename it in the data"
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "its name is no Unicode text (a lone surrogate); rename it in the data"
    return None


def _objects(unit: WorkUnit) -> Iterator[dict[str, Any]]:
    seen = 0
    for block in lines_of(chunks(unit.file, "", unit.start, unit.end)):
        for line in block.data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
            if seen >= _PEEKED_BYTES:
                return
            yield parsed_object(line) or {}
            seen += len(line) + 1


def _read(
    pieces: Sequence[WorkUnit],
    names: Sequence[str],
    spec: Spec,
    most: int | None = None,
    size: int | None = None,
) -> _Rows:
    """Reads pieces, of each row group at most `most` rows of about `size` bytes."""
    wanted = {name: RawColumn(name, "string", multivalued=True) for name in names}
    result = _Rows()
    for unit in pieces:
        taken = held = 0
        for batch in _batches(unit, names, spec, wanted, most, size):
            result.tables.append(batch.table)
            result.rejected += len(batch.rejected)
            for entry in batch.rejected:
                result.reasons[kind_of(entry.reason)] += 1
                result.examples.setdefault(kind_of(entry.reason), entry.reason)
            taken += len(batch.rows)
            held += batch.table.nbytes
            if most is not None and size is not None and (taken >= most or held >= size):
                break
        result.rows += taken
    return result


def _read_groups(
    groups: Sequence[WorkUnit], names: Sequence[str], spec: Spec, unreadable: dict[str, str]
) -> _Rows:
    """Reads Parquet's row groups; columns that cannot be decoded join the `unreadable` ones."""
    cells = max(1, len(names) * len(groups))
    most = max(1, min(_ROWS_OF_A_GROUP, _CELLS // cells))
    size = _BYTES // max(1, len(groups))
    try:
        return _read(groups, names, spec, most, size)
    except DataError:
        for unit in groups:
            unreadable |= undecodable(unit, names)
        if not any(name in unreadable for name in names):
            raise
        names = [name for name in names if name not in unreadable]
        return _read(groups, names, spec, most, size)


def _batches(
    unit: WorkUnit,
    names: Sequence[str],
    spec: Spec,
    wanted: Mapping[str, RawColumn],
    most: int | None,
    size: int | None,
) -> Iterator[RawBatch]:
    if unit.format == "parquet":
        return read_row_groups(unit, names, most, size)
    return read(unit, spec, wanted)
