"""Files opened for planning: what their headers and footers tell, and whether the spec fits them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from skewless.beam_pipelines.sources.avro.reader import open_avro
from skewless.beam_pipelines.sources.cutting.cuts import UNIT_BYTES, Cut, UnitSize
from skewless.beam_pipelines.sources.cutting.pieces import Piece, pieces_of
from skewless.beam_pipelines.sources.files import file_bytes
from skewless.beam_pipelines.sources.formats.csv_header import read_header
from skewless.beam_pipelines.sources.formats.parquet_footer import not_read, oversized
from skewless.beam_pipelines.sources.formats.parquet_reader import open_parquet
from skewless.beam_pipelines.sources.nested.fields import inner_fields
from skewless.beam_pipelines.sources.tables.row_groups import schema_of
from skewless.beam_pipelines.sources.unchanged import state_of
from skewless.beam_pipelines.sources.units import Format, WorkUnit
from skewless.schemas.errors import DataError, listed, nearest
from skewless.schemas.rows.raw_columns import RowColumns
from skewless.schemas.spec.kinds.history import histories_of
from skewless.schemas.spec.spec import Spec

__all__ = [
    "PLAIN_REMEDY",
    "OpenedFile",
    "check_columns",
    "delimiter",
    "one_unit_each",
    "opened",
    "refuse_columns",
    "unit_count",
]

# Problems that one error names.
_MOST_TOLD = 20
PLAIN_REMEDY = "take it out of the spec, or write it as plain values"


@dataclass(frozen=True)
class OpenedFile:
    """An input file before it is cut.

    Attributes:
      whole: All of it as one work unit.
      bytes: As it lies on disk.
      pieces: What has to be looked through to cut it; empty where nothing has.
      cuts: Of a file that needs no look, where it is cut.
    """

    whole: WorkUnit
    bytes: int
    pieces: tuple[Piece, ...] = ()
    cuts: tuple[Cut, ...] = ()

    def with_whole(self, whole: WorkUnit) -> OpenedFile:
        """Returns the file under another name."""
        bare = dataclasses.replace(whole, columns=())
        pieces = tuple(dataclasses.replace(piece, whole=bare) for piece in self.pieces)
        return dataclasses.replace(self, whole=whole, pieces=pieces)

    @property
    def beginning(self) -> WorkUnit:
        """A work unit that holds the file's first rows, whatever has been looked through."""
        return self.cuts[0].of(self.whole) if self.cuts else self.whole


def delimiter(format: Format, spec: Spec) -> str:
    """Returns the character between the fields of a delimited format."""
    return "\t" if format == "tsv" else spec.csv.delimiter


def unit_count(files: Sequence[OpenedFile]) -> int:
    """Returns how many work units there will be: about, where files have to be looked through."""
    return sum(max(len(file.pieces), len(file.cuts)) for file in files)


def one_unit_each(files: Sequence[OpenedFile]) -> str:
    """Returns what to say of compressed files that most of the bytes are in; else nothing.

    No part of one can be read without all before it, so a worker reads it from end to end.
    """
    packed = [file for file in files if file.whole.compression]
    largest = max(packed, key=lambda file: file.bytes, default=None)
    if largest is None or largest.bytes <= UNIT_BYTES:
        return ""
    share = sum(file.bytes for file in packed) / sum(file.bytes for file in files)
    if share <= 0.5:
        return ""
    return (
        f"{share:.0%} of the input's bytes are in {len(packed)} compressed files, each read by one "
        f"worker from end to end; the largest, {largest.whole.file}, has {largest.bytes >> 20:,} MiB. "
        "Write more and smaller files, or leave them uncompressed, to let more workers share them"
    )


def opened(whole: WorkUnit, rows: RowColumns, size: UnitSize) -> OpenedFile:
    """Opens a file; only its header or footer is read.

    Args:
      whole: All of it, by its name.
      rows: The columns that it must have.
      size: Of the units that it will be cut into.

    Raises:
      DataError: If it lacks a column, has it twice, or cannot be opened as its ending says.
    """
    whole = dataclasses.replace(whole, state=state_of(whole.file), serving=rows.serving)
    held = file_bytes(whole.file)
    if whole.format == "parquet":
        return OpenedFile(whole, held, cuts=tuple(_row_groups(whole, rows, size)))
    if whole.format == "avro":
        whole = dataclasses.replace(whole, start=_avro_start(whole, rows))
    between = ""
    if whole.format in ("csv", "tsv"):
        between = delimiter(whole.format, rows.spec)
        header = read_header(whole.file, whole.compression, between, rows.spec.csv)
        check_columns(whole, header.columns, rows)
        whole = dataclasses.replace(
            whole, columns=header.columns, start=header.start, encoding=header.encoding
        )
    pieces = tuple(pieces_of(whole, held, between, size))
    known = () if pieces else (Cut(whole.start, whole.end, whole.first_row),)
    return OpenedFile(whole, held, pieces, known)


def check_columns(whole: WorkUnit, names: Sequence[str], rows: RowColumns) -> None:
    """Refuses a file that lacks a column which rows must have, or has it twice.

    Raises:
      DataError: If so.
    """
    excused = rows.may_lack(whole.split)
    histories = histories_of(rows.spec.features)
    if rows.lists == "completed":
        # Rows that hold their own lists need not say whose they are.
        excused |= {
            column
            for name, history in histories.items()
            if name in names
            for column in (history.by, history.time)
            if column not in rows.of_graph
        }
    problems: list[str] = []
    held = Counter(names)
    for name in rows.wanted:
        if name in rows.built:
            if name in held:
                problems.append(
                    f"column {name!r} is there, and features.{name} is a history, which is built from "
                    "the rows; rename the feature, or declare it categorical to take what rows hold"
                )
        elif name not in held:
            if name not in excused:
                # Each look for the nearest goes through all names.
                near = nearest(name, names) if len(problems) < _MOST_TOLD else ""
                if name in histories:
                    near = f" (the row's past values of {histories[name].of}, a list)"
                problems.append(f"no column {name!r}{near}")
        elif held[name] > 1:
            problems.append(f"column {name!r} is there {held[name]} times; rename the others")
    if problems:
        told = problems[:_MOST_TOLD]
        if len(problems) > _MOST_TOLD:
            told.append(f"and {len(problems) - _MOST_TOLD:,} more columns")
        raise DataError(
            f"{whole.file}: {'; '.join(told)} (columns: {listed(names)}); "
            "correct the spec's column or the file's header"
        )


def _refuse_what_is_not_read(path: str, file: pq.ParquetFile, rows: RowColumns) -> None:
    vectors = [name for name, column in rows.wanted.items() if column.steps]
    refuse_columns(path, not_read(file, vectors), rows.wanted, PLAIN_REMEDY)
    if rows.spec.key is None and not rows.serving:
        # Rows without a key are known by all that they hold.
        remedy = (
            "declare a `key`, so that rows are not known by all that they hold, or leave it out"
        )
        refuse_columns(path, oversized(file), file.schema_arrow.names, remedy)


def refuse_columns(
    path: str, found: Mapping[str, str], wanted: Collection[str], remedy: str
) -> None:
    """Refuses a file of which columns that are wanted are not read, with why of each."""
    problems = [f"column {name!r} {why}" for name, why in found.items() if name in wanted]
    if problems:
        raise DataError(f"{path}: {listed(problems, 5)}; {remedy}")


def _avro_start(whole: WorkUnit, rows: RowColumns) -> int:
    header, records = open_avro(whole.file)
    check_columns(whole, [*records.schema.names, *inner_fields(records.schema)], rows)
    refuse_columns(whole.file, records.not_read, rows.wanted, PLAIN_REMEDY)
    return header.end


def _row_groups(whole: WorkUnit, rows: RowColumns, size: UnitSize) -> Iterator[Cut]:
    with open_parquet(whole.file) as file:
        schema = schema_of(whole, file.schema_arrow)
        names = [*schema.names, *inner_fields(schema)]
        metadata = file.metadata
        check_columns(whole, names, rows)
        _refuse_what_is_not_read(whole.file, file, rows)
    begun, first, row, held = 0, 1, 1, 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        if index > begun and (
            held + group.total_byte_size > size.bytes or row + group.num_rows - first > size.rows
        ):
            yield Cut(begun, index, first)
            begun, first, held = index, row, 0
        row += group.num_rows
        held += group.total_byte_size
    yield Cut(begun, metadata.num_row_groups, first)
