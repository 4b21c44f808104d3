"""Rows against records, by key: which agree, which differ, which have no counterpart.

Each side is first reduced to two 64-bit digests a row, of its key and of its key with all values,
so that memory stays at some tens of bytes a row. Rows whose digests agree are equal in every bit;
only of the others are values looked at, and floats allowed a tolerance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from skewless.model.parity.report import TOLERANCE, Report

__all__ = ["Side", "compare", "key_digest"]

_NAMED = 10
# Differing rows whose values are held at once; more than these take another pass.
_HELD = 100_000
Features = Mapping[str, np.ndarray]
Row = dict[str, np.ndarray]
# Gives [rows] keys and [rows, …] features, batch by batch, anew at each call.
Side = Callable[[], Iterator[tuple[Sequence[bytes], Features]]]


def compare(
    served: Side,
    stored: Side,
    names: Sequence[str],
    *,
    unique_keys: bool,
    rejected: Collection[int],
    whole: bool,
) -> Report:
    """Matches rows to records as multisets, key by key.

    Args:
      served: Raw rows through the exported graph.
      stored: The records.
      names: The features compared.
      unique_keys: Whether of several rows with one key only the first has a record.
      rejected: `key_digest` of keys whose rows may lack a record.
      whole: Whether `served` is all of the input, so that each record must have its row.
    """
    report = Report(features=len(names))
    served_keys, served_rows, report.values = _digests(served, names)
    report.rows = len(served_rows)
    if unique_keys:
        first = np.sort(np.unique(served_keys, return_index=True)[1])
        served_keys, served_rows = served_keys[first], served_rows[first]
        report.duplicate = report.rows - len(first)
    stored_keys, stored_rows, _ = _digests(stored, names)
    report.records = len(stored_rows)
    left_served = _surplus(served_rows, stored_rows)
    left_stored = _surplus(stored_rows, served_rows)
    report.matched = len(served_rows) - len(left_served)
    suspects = np.intersect1d(served_keys[left_served], stored_keys[left_stored])

    alone = served_keys[left_served]
    alone = alone[~np.isin(alone, suspects)]
    known = np.isin(alone, np.fromiter(rejected, np.uint64, len(rejected)))
    report.extra = int(known.sum())
    _lost(alone[~known], served, report)
    if whole:
        orphans = stored_keys[left_stored]
        report.unmatched_records = int((~np.isin(orphans, suspects)).sum())
    for begin in range(0, len(suspects), _HELD):
        part = set(suspects[begin : begin + _HELD].tolist())
        rows = _held(served, names, part, first_only=unique_keys)
        records = _held(stored, names, part, first_only=False)
        for digest in sorted(part):
            _pair(rows[digest], records[digest], report, whole=whole)
    return report


def key_digest(key: bytes) -> int:
    """Returns a key's 64-bit digest."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


def _digests(side: Side, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns [rows] uint64 digests of keys, the same of whole rows, and the values seen."""
    keys_seen, rows_seen, values = bytearray(), bytearray(), 0
    for keys, features in side():
        if not keys:
            continue
        matrix = np.concatenate(
            [
                np.ascontiguousarray(features[name]).reshape(len(keys), -1).view(np.uint8)
                for name in names
            ],
            axis=1,
        )
        values += sum(features[name].size for name in names)
        width, data = matrix.shape[1], memoryview(matrix.tobytes())
        for place, key in enumerate(keys):
            digest = hashlib.blake2b(key, digest_size=8)
            keys_seen += digest.digest()
            digest.update(b"\0")
            digest.update(data[place * width : (place + 1) * width])
            rows_seen += digest.digest()
    return np.frombuffer(keys_seen, "<u8"), np.frombuffer(rows_seen, "<u8"), values


def _surplus(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the places of `rows` that have no counterpart in `others`, one to one."""
    order = np.argsort(rows, kind="stable")
    ranked = rows[order]
    # The n-th of equal rows has a counterpart if there are more than n of them on the other side.
    rank = np.arange(len(ranked)) - np.searchsorted(ranked, ranked, side="left")
    others = np.sort(others)
    held = np.searchsorted(others, ranked, side="right") - np.searchsorted(
        others, ranked, side="left"
    )
    return np.sort(order[rank >= held])


def _lost(digests: np.ndarray, served: Side, report: Report) -> None:
    """Counts rows without any record of their key, and names the first few."""
    report.mismatches += len(digests)
    wanted = set(digests[:_NAMED].tolist())
    if not wanted:
        return
    for keys, _ in served():
        for key in keys:
            if (digest := key_digest(key)) in wanted:
                wanted.discard(digest)
                report.show(key, "(row)", "none", "a row that was neither rejected nor written")
        if not wanted:
            return


def _held(
    side: Side, names: Sequence[str], wanted: set[int], *, first_only: bool
) -> dict[int, list[tuple[bytes, Row]]]:
    """Returns the rows of the wanted keys, by the keys' digests."""
    held: dict[int, list[tuple[bytes, Row]]] = {digest: [] for digest in wanted}
    for keys, features in side():
        for place, key in enumerate(keys):
            rows = held.get(key_digest(key))
            if rows is not None and not (first_only and rows):
                # Copied: a view would hold the whole batch in memory.
                rows.append((key, {name: np.array(features[name][place]) for name in names}))
    return held


def _pair(
    rows: list[tuple[bytes, Row]], records: list[tuple[bytes, Row]], report: Report, *, whole: bool
) -> None:
    """Pairs the rows of one key with its records: equal ones, then close ones, then the rest."""
    left = [record for _, record in records]
    waiting = [(key, row) for key, row in rows if not _take_equal(row, left)]
    for key, row in waiting:
        if not left:
            report.mismatches += 1
            report.show(key, "(row)", "none left of this key", "one row more")
            continue
        wrong = [_differing(row, record) for record in left]
        nearest = min(range(len(left)), key=[len(names) for names in wrong].__getitem__)
        record = left.pop(nearest)
        if not wrong[nearest]:
            report.within_tolerance += 1
            continue
        report.mismatches += 1
        for name in wrong[nearest]:
            report.show(key, name, str(record[name]), str(row[name]))
    if whole:
        report.unmatched_records += len(left)


def _take_equal(row: Row, left: list[Row]) -> bool:
    """Removes the first record equal to `row` in every bit; returns whether there was one."""
    for place, record in enumerate(left):
        if all(row[name].tobytes() == record[name].tobytes() for name in row):
            del left[place]
            return True
    return False


def _differing(row: Row, record: Row) -> list[str]:
    """Returns the features whose integers differ at all, or floats by more than the tolerance."""
    wrong = []
    for name, value in row.items():
        other = record[name]
        if value.shape != other.shape:
            same = False
        elif value.dtype.kind == "f":
            same = np.allclose(value, other, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        else:
            same = np.array_equal(value, other)
        if not same:
            wrong.append(name)
    return wrong
