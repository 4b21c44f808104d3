"""Columns of the sample's tables as canonical text, many columns at a time.

A call of Arrow costs as much for ten values as for ten thousand: of a table with 100,000 columns
those of one type are therefore converted as one long array, and cut apart again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from skewless.schemas.rows.canonical import canonical
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.spec.spec import Spec

__all__ = ["columns_of", "together"]

_TOGETHER = 512
# Of one long array.
_MOST_BYTES = 256 << 20


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
    found: dict[str, pa.Array] = {}
    for kinds, members in groups.items():
        if any(kind is not None and not _plain(kind) for kind in kinds):
            for name in members:
                arrays = [
                    pa.nulls(table.num_rows) if array is None else array
                    for array, table in zip(raw[name], tables, strict=True)
                ]
                _alone(name, arrays, spec, found, unreadable)
            continue
        convert = _of_one_type if len(set(kinds) - {None}) == 1 else _of_several_types
        for some in together(members, size):
            convert(some, [raw[name] for name in some], tables, spec, found, unreadable)
    return {name: found[name] for name in names if name in found}


def together(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yields runs of columns, of `size` bytes each on average, that are worth one long array."""
    most = max(1, min(_TOGETHER, _MOST_BYTES // max(1, size)))
    for begin in range(0, len(names), most):
        yield names[begin : begin + most]


def _of_one_type(
    names: Sequence[str],
    raw: Sequence[Sequence[pa.Array | None]],
    tables: Sequence[pa.RecordBatch],
    spec: Spec,
    found: dict[str, pa.Array],
    unreadable: dict[str, str],
) -> None:
    """Converts all tables of a column, then those of the next: so none needs to be put together."""
    kind = next(array.type for array in raw[0] if array is not None)
    nulls = [pa.nulls(table.num_rows, kind) for table in tables]
    pieces = [
        none if array is None else array
        for arrays in raw
        for array, none in zip(arrays, nulls, strict=True)
    ]
    values, bad = canonical(pa.concat_arrays(pieces), RawColumn("", "string"), spec)
    rows = sum(table.num_rows for table in tables)
    faults: list[list[str]] = [[] for _ in names]
    for at, reason in bad.items():
        faults[at // rows].append(reason)
    for at, name in enumerate(names):
        _keep(name, [values.slice(at * rows, rows)], faults[at], found, unreadable)


def _of_several_types(
    names: Sequence[str],
    raw: Sequence[Sequence[pa.Array | None]],
    tables: Sequence[pa.RecordBatch],
    spec: Spec,
    found: dict[str, pa.Array],
    unreadable: dict[str, str],
) -> None:
    read_as = RawColumn("", "string")
    parts: list[list[pa.Array]] = [[] for _ in names]
    faults: list[list[str]] = [[] for _ in names]
    for place, table in enumerate(tables):
        rows = table.num_rows
        if raw[0][place] is None:
            for texts in parts:
                texts.append(pa.nulls(rows, pa.string()))
            continue
        values, bad = canonical(pa.concat_arrays([arrays[place] for arrays in raw]), read_as, spec)
        for at, texts in enumerate(parts):
            texts.append(values.slice(at * rows, rows))
        for at, reason in bad.items():
            faults[at // rows].append(reason)
    for name, texts, reasons in zip(names, parts, faults, strict=True):
        _keep(name, texts, reasons, found, unreadable)


def _alone(
    name: str,
    arrays: Sequence[pa.Array],
    spec: Spec,
    found: dict[str, pa.Array],
    unreadable: dict[str, str],
) -> None:
    lists = any(_is_list(array.type) and _longest(array) > 1 for array in arrays)
    read_as = RawColumn(name, "string", multivalued=lists)
    parts, faults = [], []
    for array in arrays:
        part, bad = canonical(array, read_as, spec)
        parts.append(part)
        faults += list(bad.values())
    _keep(name, parts, faults, found, unreadable)


def _keep(
    name: str,
    parts: Sequence[pa.Array],
    faults: Sequence[str],
    found: dict[str, pa.Array],
    unreadable: dict[str, str],
) -> None:
    values = parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
    if len(faults) > len(values) / 2:
        unreadable[name] = faults[0]
    else:
        found[name] = values


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
