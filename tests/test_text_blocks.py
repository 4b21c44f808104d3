"""Text blocks: where records end, and what becomes of those that go too far.

The oracle walks the text byte by byte; limits are set small, so that every rule about them is met.
"""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.init.sample import take_sample
from skewless.beam_pipelines.sources import plan, read
from skewless.beam_pipelines.sources.formats import csv_blocks, jsonl_reader, text_blocks
from skewless.beam_pipelines.sources.formats.jsonl_reader import MAX_DEPTH, parse_lines
from skewless.beam_pipelines.sources.units import WorkUnit
from skewless.schemas.rows.canonical import canonical
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.spec.spec import parse

LIMIT, QUOTED = 24, 40
SPEC = parse({"name": "t", "features": {name: {"type": "categorical"} for name in "ab"}})
MANY = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_blocks, "MAX_RECORD_BYTES", LIMIT)
    monkeypatch.setattr(csv_blocks, "MAX_RECORD_BYTES", LIMIT)
    monkeypatch.setattr(csv_blocks, "MAX_QUOTED_BYTES", QUOTED)


def _record(text: bytes, start: int) -> tuple[int | None, int | None]:
    """Walks one record; returns its end, or None if a quote stays open, and its first line's."""
    state, place, line = "field", start, None
    while place < len(text):
        char = text[place : place + 1]
        ends = (text[place : place + 2] == b"\r\n" and 2) or (char in b"\r\n" and 1)
        if state == "quoted":
            if ends and line is None:
                line = place + ends
            if char == b'"':
                if text[place + 1 : place + 2] == b'"':
                    place += 1
                else:
                    state = "plain"
        elif ends:
            return place + ends, line
        elif char == b",":
            state = "field"
        else:
            state = "quoted" if state == "field" and char == b'"' else "plain"
        place += 1
    return (None if state == "quoted" else place), line


def walked(text: bytes) -> Iterator[tuple[str, int, int]]:
    """Yields what stands in a text, one thing behind the other, and where it begins and ends."""
    place = 0
    while place < len(text):
        end, line = _record(text, place)
        kind = "record"
        if end is None or (line is not None and end - place > LIMIT and end - line > QUOTED):
            kind, end = "stray", line or len(text)
        elif end - place > LIMIT:
            kind = "long"
        elif not text[place:end].rstrip(b"\r\n"):
            kind = "blank"
        yield kind, place, end
        place = end


def _expected(text: bytes) -> Iterator[tuple[str, bytes | int]]:
    for kind, place, end in walked(text):
        if kind == "record":
            yield kind, text[place:end].removesuffix(b"\n").removesuffix(b"\r")
        elif kind != "blank":
            yield kind, end - place


def _chunks(text: bytes, sizes: list[int]) -> Iterator[bytes]:
    place = 0
    for at in range(len(text)):
        size = sizes[at % len(sizes)]
        if place >= len(text):
            return
        yield text[place : place + size]
        place += size


@MANY
@given(
    parts=st.lists(
        st.one_of(
            st.text(st.sampled_from('a",\n\r'), max_size=8),
            st.builds(
                '"\n{}"{}'.format, st.integers(36, 44).map("d".__mul__), st.sampled_from("\n,")
            ),
            st.sampled_from(["a" * 30, '"' + "b" * 30, "c\n" * 9, '"', '"\n', 'x,"y', ',"z",']),
        ),
        max_size=9,
    ),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=4),
)
@pytest.mark.usefixtures("small_limits")
def test_records_end_where_a_walk_byte_by_byte_ends_them(
    parts: list[str], sizes: list[int]
) -> None:
    text = "".join(parts).encode()
    got: list[tuple[str, bytes | int]] = []
    for block in csv_blocks.blocks(_chunks(text, sizes), ","):
        if block.problem is None:
            texts = list(csv_blocks.records(block.data, ","))
            assert len(texts) == block.count
            got += [("record", record) for record in texts]
        else:
            got.append(("long" if block.problem == text_blocks.TOO_LONG else "stray", block.size))
    assert got == list(_expected(text))


@MANY
@given(
    lines=st.lists(st.text("ab \r", max_size=60), max_size=8),
    sizes=st.lists(st.integers(1, 70), min_size=1, max_size=4),
)
@pytest.mark.usefixtures("small_limits")
def test_lines_end_at_line_ends_wherever_they_are_cut(lines: list[str], sizes: list[int]) -> None:
    text = "\n".join(lines).encode()
    got: list[bytes | int] = []
    for block in text_blocks.lines_of(_chunks(text, sizes)):
        got += [block.size] if block.problem else block.data.splitlines(keepends=True)
    split = [line + b"\n" for line in text.split(b"\n")]
    split[-1] = split[-1][:-1]
    expected = [len(line) if len(line) > LIMIT else line for line in split if line]
    assert b"".join(b"-" if isinstance(e, int) else e for e in got) == b"".join(
        b"-" if isinstance(e, int) else e for e in expected
    )
    assert [e for e in got if isinstance(e, int)] == [e for e in expected if isinstance(e, int)]


def _rows(path: Path, **options: int) -> tuple[list[tuple[int, bytes]], list[tuple[int, str]]]:
    rows, rejected = [], []
    for unit in plan([str(path)], SPEC, **options):
        for batch in read(unit, SPEC):
            values = map(str, batch.table.column("b").to_pylist())
            rows += list(zip(batch.rows.tolist(), values, strict=True))
            rejected += [(entry.row, entry.reason) for entry in batch.rejected]
            assert all(len(entry.raw) < 100_000 for entry in batch.rejected)
    return rows, rejected


@pytest.mark.parametrize(
    ("name", "long"),
    [
        ("x.csv", b"L,%s\n"),
        ("x.csv", b'"%s\n%s",tail\n'),
        ("x.csv.gz", b"L,%s\n"),
        ("x.jsonl", b'{"a": "L", "b": "%s"}\n'),
        ("x.jsonl.gz", b'{"a": "L", "b": "%s"}\n'),
    ],
)
def test_a_line_beyond_the_limit_is_one_rejected_row(
    name: str, long: bytes, tmp_path: Path
) -> None:
    filler = b"X" * (40 << 20)
    long = long.replace(b"%s", filler)
    if ".csv" in name:
        text = b"a,b\n1,x\n" + long + b"3,y\n"
    else:
        text = b'{"a": "1", "b": "x"}\n' + long + b'{"a": "3", "b": "y"}\n'
    path = tmp_path / name
    path.write_bytes(gzip.compress(text, 1) if name.endswith("gz") else text)
    del text, long, filler
    tracemalloc.start()
    whole = _rows(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row for row, _ in whole[0]] == [1, 3]
    assert whole[1] == [(2, text_blocks.TOO_LONG)]
    assert peak < 6 * text_blocks.MAX_RECORD_BYTES
    assert _rows(path, unit_bytes=1 << 20) == whole


def test_rows_of_another_width_may_hold_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,b\n1,x\n2,\xe9,z\n3,\xe9\n"4\xff\n",y\n5\xff\n')
    rows, rejected = _rows(path)
    assert [row for row, _ in rows] == [1, 3, 4]
    assert rejected == [
        (2, "expected 2 fields as in the header, got 3"),
        (5, "expected 2 fields as in the header, got 1"),
    ]
    assert (take_sample([str(path)]).rows, take_sample([str(path)]).rejected) == (3, 2)


NESTED = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3),
        st.sampled_from(["[" * 150, "\\ud800", 10**30]),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=1), inner),
    max_leaves=4,
)  # fmt: skip
JSON_LINES = st.one_of(
    st.dictionaries(st.sampled_from(["a", "b", "z"]), NESTED).map(json.dumps),
    st.sampled_from(
        [
            '{"a": "1", "z": ' + "[" * depth + "]" * depth + "}"
            for depth in (1, MAX_DEPTH - 1, MAX_DEPTH, 2_000, 100_000)
        ]
        + ['{"a": "1", "z": ' + "9" * 5_000 + "}", '{"a": "1", "z": "\\ud800"}']
        + ['{"a": "1", "\\ud800": 1}', '{"a": "1", "z": NaN}', '{"a": "1", "z": 01}']
        + ['{"a": "1", "z": "\x00"}', '{"a": "\\u0000"}', '{"a": 1e5, "b": -0}', '{"a": "1",}']
    ),
)


@MANY
@given(lines=st.lists(JSON_LINES, min_size=1, max_size=5))
def test_a_line_of_json_fares_alike_alone_and_among_others(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python looks at the first lines of a block in any case.
    monkeypatch.setattr(jsonl_reader, "_PEEKED_LINES", 1)
    columns = {name: RawColumn(name, "string") for name in "ab"}
    encoded = [line.encode() for line in lines]

    def outcome(some: list[bytes], first: int) -> tuple[list, list]:
        numbers = np.arange(first, first + len(some), dtype=np.int64)
        batch = parse_lines(some, WorkUnit("x.jsonl", "jsonl"), numbers, columns)
        values = [canonical(batch.table.column(n), c, SPEC)[0] for n, c in columns.items()]
        texts = list(zip(batch.rows.tolist(), *(v.to_pylist() for v in values), strict=True))
        return texts, [(entry.row, entry.reason) for entry in batch.rejected]

    alone = [outcome([line], at) for at, line in enumerate(encoded)]
    together = outcome(encoded, 0)
    assert together[0] == [row for rows, _ in alone for row in rows]
    assert together[1] == [entry for _, entries in alone for entry in entries]
