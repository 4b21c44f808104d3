"""Columns of the sample's tables as canonical text, many columns at a time.

A call of Arrow costs as much for ten values as for ten thousand: of a table with 100,000 columns
those of one type are therefore converted as one long array, and cut apart again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.rows.canonical import canonical
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.spec.spec import Spec

__all__ = ["columns_of", "together"]

_TOGETHER = 512
# Of one long array.
_MOST_BYTES = 256 << 20
# Of a column, one of each table; None where the table lacks it.
_Arrays: TypeAlias = Sequence[pa.Array | None]


def columns_of(
    names: Sequence[str], tables: Sequence[pa.RecordBatch], spec: Spec, unreadable: dict[str, str]
) -> dict[str, pa.Array]:
    """Returns [rows] string or list<string> by name, over all tables.

    Args:
      names: The columns.
      tables: [rows of each] as read; a column that one lacks has no values there.
      spec: Says which texts mean that there is no value.
      unreadable: Is given why a column is left out: half of its values cannot be read.
    """
    groups: dict[tuple[pa.DataType | None, ...], list[str]] = {}
    held = [dict(zip(table.schema.names, table.columns, strict=True)) for table in tables]
    raw = {name: [there.get(name) for there in held] for name in names}
    size = sum(table.nbytes for table in tables) // max(1, len(names))
    for name, arrays in raw.items():
        kinds = tuple(None if array is None else array.type for array in arrays)
        groups.setdefault(kinds, []).append(name)
    texts = _Texts(tables, spec, unreadable)
    for kinds, members in groups.items():
        if any(kind is not None and not _plain(kind) for kind in kinds):
            for name in members:
                texts.add_alone(name, raw[name])
            continue
        add = texts.add_of_one_type if len(set(kinds) - {None}) == 1 else texts.add_of_several_types
        for some in together(members, size):
            add(some, [raw[name] for name in some])
    return {name: texts.found[name] for name in names if name in texts.found}


def together(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yields runs of columns, of `size` bytes each on average, that are worth one long array."""
    most = max(1, min(_TOGETHER, _MOST_BYTES // max(1, size)))
    for begin in range(0, len(names), most):
        yield names[begin : begin + most]


class _Texts:
    """Columns of the tables as they become text, or are left out.

    Attributes:
      found: [rows] string or list<string> by name, over all tables.
    """

    def __init__(
        self, tables: Sequence[pa.RecordBatch], spec: Spec, unreadable: dict[str, str]
    ) -> None:
        self.found: dict[str, pa.Array] = {}
        self._rows = [table.num_rows for table in tables]
        self._spec = spec
        self._unreadable = unreadable

    def add_of_one_type(self, names: Sequence[str], raw: Sequence[_Arrays]) -> None:
        """Converts all tables of a column, then those of the next: so none needs to be put together."""
        kind = next(array.type for array in raw[0] if array is not None)
        nulls = [pa.nulls(rows, kind) for rows in self._rows]
        pieces = [
            none if array is None else array
            for arrays in raw
            for array, none in zip(arrays, nulls, strict=True)
        ]
        rows = sum(self._rows)
        values, faults = self._converted(pieces, rows, len(names))
        for at, name in enumerate(names):
            self._keep(name, [values.slice(at * rows, rows)], faults[at])

    def add_of_several_types(self, names: Sequence[str], raw: Sequence[_Arrays]) -> None:
        """Converts a table of all columns, then the next table."""
        parts: list[list[pa.Array]] = [[] for _ in names]
        faults: list[list[str]] = [[] for _ in names]
        for place, rows in enumerate(self._rows):
            if raw[0][place] is None:
                for texts in parts:
                    texts.append(pa.nulls(rows, pa.string()))
                continue
            values, bad = self._converted([arrays[place] for arrays in raw], rows, len(names))
            for at, texts in enumerate(parts):
                texts.append(values.slice(at * rows, rows))
                faults[at] += bad[at]
        for name, texts, reasons in zip(names, parts, faults, strict=True):
            self._keep(name, texts, reasons)

    def add_alone(self, name: str, raw: _Arrays) -> None:
        """Converts a column that cannot be put end to end with others."""
        arrays = [
            pa.nulls(rows) if array is None else array
            for array, rows in zip(raw, self._rows, strict=True)
        ]
        lists = any(_is_list(array.type) and _longest(array) > 1 for array in arrays)
        read_as = RawColumn(name, "string", multivalued=lists)
        parts, faults = [], []
        for array in arrays:
            part, bad = canonical(array, read_as, self._spec)
            parts.append(part)
            faults += list(bad.values())
        self._keep(name, parts, faults)

    def _converted(
        self, pieces: Sequence[pa.Array], rows: int, columns: int
    ) -> tuple[pa.Array, list[list[str]]]:
        """Returns the pieces end to end as text, and the faults of each column of so many rows."""
        read_as = RawColumn("", "string")
        values, bad = canonical(pa.concat_arrays(pieces), read_as, self._spec)
        faults: list[list[str]] = [[] for _ in range(columns)]
        for at, reason in bad.items():
            faults[at // rows].append(reason)
        return values, faults

    def _keep(self, name: str, parts: Sequence[pa.Array], faults: Sequence[str]) -> None:
        values = parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
        if len(faults) > len(values) / 2:
            self._unreadable[name] = faults[0]
        else:
            self.found[name] = values


def _plain(kind: pa.DataType) -> bool:
    """Whether columns of a type can be put end to end: no lists, nor what nests or is encoded."""
    return not (
        pa.types.is_nested(kind)
        or pa.types.is_dictionary(kind)
        or pa.types.is_run_end_encoded(kind)
        or pa.types.is_null(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def _longest(array: pa.Array) -> int:
    longest = pc.max(pc.list_value_length(array)).as_py()
    return int(longest or 0)
