"""Nested fields by dotted path: read alike from JSON lines and Parquet, proposed by init, served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.init import guess_spec
from skewless.beam_pipelines.init.sample import take_sample
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import WorkUnit, plan
from skewless.beam_pipelines.sources.formats.jsonl_reader import parse_lines
from skewless.beam_pipelines.sources.nested import json_schema
from skewless.frames import model_columns
from skewless.model.serve.reading.json_examples import example
from skewless.model.serve.reading.json_tensors import Input, of_columns, of_rows
from skewless.model.serve.status import ServingError
from skewless.schemas.errors import DataError
from skewless.schemas.rows.json_rows import by_column, canonical_rows
from skewless.schemas.rows.native.spellings import Spellings
from skewless.schemas.rows.raw_columns import RawColumn
from skewless.schemas.spec.spec import Spec, parse

SPEC = parse(
    {
        "name": "nested",
        "features": {
            "zone": {"type": "categorical", "column": "from.zone"},
            "lat": {"type": "numeric", "column": "from.at.lat"},
            "tags": {"type": "categorical", "length": 2, "column": "about.tags"},
            "dotted": {"type": "categorical", "column": "own.name"},
        },
    }
)
ROWS: list[dict[str, Any]] = [
    {"from": {"zone": "a", "at": {"lat": 1.5}}, "about": {"tags": ["x", "y"]}, "own.name": "p"},
    {"from": {"zone": None, "at": None}, "about": {"tags": []}, "own.name": None},
    {"from": None, "about": None, "own.name": "q"},
    {"from": {"zone": "b", "at": {"lat": None}}, "about": {"tags": ["z"]}, "own.name": "r"},
]


def _asked(*columns: str) -> Spec:
    features = {
        f"f{at}": {"type": "categorical", "column": name} for at, name in enumerate(columns)
    }
    return parse({"name": "asked", "features": features})


def _lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _read(path: str, spec: Spec = SPEC) -> tuple[list[dict[str, Any]], list[Any]]:
    batches = [rows for unit in plan([path], spec) for rows in rows_of(unit, spec)]
    rows = [row for batch in batches for row in batch.columns.to_pylist()]
    return rows, [entry for batch in batches for entry in batch.rejected]


def _step(value: Any, name: str) -> Any:
    return None if value is None else value.get(name)


def test_json_and_parquet_hold_what_the_objects_hold(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet", row_group_size=3)
    wanted = [
        {
            "from.zone": _step(row["from"], "zone"),
            "from.at.lat": _step(_step(row["from"], "at"), "lat"),
            "about.tags": _step(row["about"], "tags") or None,
            "own.name": row["own.name"],
        }
        for row in ROWS
    ]
    for path in (_lines(tmp_path / "rows.jsonl", ROWS), str(tmp_path / "rows.parquet")):
        rows, rejected = _read(path)
        assert not rejected
        assert [{name: row[name] or None for name in wanted[0]} for row in rows] == wanted


NAMES = st.sampled_from(["a", "b", "a.b", "b.a", "a.b.a", ""])
PLAIN = st.none() | st.sampled_from(["", "t", "é", "a.b"]) | st.integers(0, 3)
OBJECTS = st.dictionaries(
    NAMES, st.recursive(PLAIN, lambda inner: st.dictionaries(NAMES, inner, max_size=3)), max_size=4
)
PATHS = ["a", "a.b", "a.b.a", "b.a", "b"]


def _all_ways(row: Any, path: str) -> list[Any]:
    """Returns the values at a path, by every way through objects, the longest names first."""
    if not isinstance(row, dict):
        return []
    found = [row[path]] if path in row else []
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name, rest = ".".join(parts[:length]), ".".join(parts[length:])
        found += _all_ways(row.get(name), rest)
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.lists(OBJECTS, min_size=1, max_size=4),
    st.sets(st.sampled_from(PATHS), min_size=1),
    st.booleans(),
)
def test_any_objects_are_read_as_python_reads_them(
    rows: list[dict[str, Any]], paths: set[str], escaped: bool
) -> None:
    columns = {name: RawColumn(name, "string") for name in sorted(paths)}
    lines = [json.dumps(row, ensure_ascii=escaped).encode() for row in rows]
    numbers = np.arange(1, len(lines) + 1)
    batch = parse_lines(lines, WorkUnit("x.jsonl", "jsonl"), numbers, columns)
    read = dict(zip(batch.rows.tolist(), batch.table.to_pylist(), strict=True))
    for number, row in enumerate(rows, 1):
        ways = {name: _all_ways(row, name) for name in columns}
        held = {name: found[0] if found else None for name, found in ways.items()}
        if number not in read:
            assert number in {entry.row for entry in batch.rejected}
            continue
        assert not any(isinstance(value, dict) for value in held.values())
        said = {name: None if value is None else str(value) for name, value in held.items()}
        assert {n: None if v is None else str(v) for n, v in read[number].items()} == said


def test_arrow_reads_plain_objects_and_gives_way_where_names_decide() -> None:
    nested = b'{"from": {"zone": 1}}'
    assert json_schema.places_in(nested, ["from.zone"]) == {"from.zone": ("from", "zone")}
    flat = b'{"from.zone": 1}'
    assert json_schema.places_in(flat, ["from.zone"]) == {"from.zone": ("from.zone",)}
    for data in (flat + nested, rb'{"fr\u006fm.zone": 1}', b'{"from": 1, "from.zone": 1}'):
        assert json_schema.places_in(data, ["from.zone"]) is None
    assert json_schema.places_in(nested, ["from", "from.zone"]) is None


def test_a_column_whose_own_name_holds_the_dot_goes_first(tmp_path: Path) -> None:
    rows = [
        {"from.zone": "own", "from": {"zone": "nested"}},
        {"from.zone": None, "from": {"zone": "n"}},
    ]
    spec = _asked("from.zone")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    for path in (_lines(tmp_path / "rows.jsonl", rows), str(tmp_path / "rows.parquet")):
        assert _read(path, spec)[0] == [{"from.zone": "own"}, {"from.zone": None}]
    assert canonical_rows(rows, spec).to_pylist() == [{"from.zone": "own"}, {"from.zone": None}]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_fields_of_parquet_are_those_that_arrow_gives(
    data: st.DataObject, tmp_path_factory: Any
) -> None:
    kind = pa.struct([("a", pa.struct([("b", pa.string())])), ("c", pa.int64())])
    inner = st.none() | st.fixed_dictionaries({"b": st.none() | st.text("xy", max_size=2)})
    outer = st.none() | st.fixed_dictionaries({"a": inner, "c": st.none() | st.integers(-5, 5)})
    values = pa.array(data.draw(st.lists(outer, min_size=1, max_size=6)), kind)
    path = str(tmp_path_factory.mktemp("p") / "rows.parquet")
    pq.write_table(pa.table({"o": values}), path, row_group_size=2)
    spec = _asked("o.a.b", "o.c")
    rows, _ = _read(path, spec)
    texts = pc.struct_field(values, ["a", "b"]).to_pylist()
    numbers = pc.struct_field(values, ["c"]).cast(pa.string()).to_pylist()
    assert [row["o.a.b"] for row in rows] == texts
    assert [row["o.c"] for row in rows] == numbers


def test_errors_name_the_path(tmp_path: Path) -> None:
    path = _lines(tmp_path / "rows.jsonl", [ROWS[0], {"from": 5}, {"from": {"zone": {"x": 1}}}])
    _, rejected = _read(path)
    told = [(entry.row, entry.column, str(entry.reason)) for entry in rejected]
    assert told == [
        (2, "from.zone", "expected an object at 'from', got a number"),
        (3, "from.zone", "expected a plain value, got an object"),
    ]
    twice = tmp_path / "twice.jsonl"
    twice.write_text('{"from": {"zone": "a", "zone": "b"}}\n')
    (entry,) = _read(str(twice))[1]
    assert (entry.column, entry.reason) == ("from.zone", "the key is given more than once")
    table = pa.table({"from": pa.array([{"zones": "a", "at": {"lat": 1.0}}]), "own.name": ["p"]})
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"no column 'from\.zone'; did you mean 'from\.zones'"):
        plan([str(tmp_path / "rows.parquet")], SPEC)
    spec = _asked("from.at")
    with pytest.raises(DataError, match=r"column 'from\.at' holds objects"):
        plan([str(tmp_path / "rows.parquet")], spec)
    with pytest.raises(
        DataError, match=r"row 1, column 'from\.zone': expected an object at 'from'"
    ):
        canonical_rows([ROWS[0], {"from": 5}], SPEC)


def test_init_proposes_what_objects_hold(tmp_path: Path) -> None:
    rows = [
        {
            "id": at,
            "from": {"zone": "ab"[at % 2], "at": {"lat": at / 7}} if at % 5 else None,
            "y": at % 3 == 0,
        }
        for at in range(300)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    for path in (_lines(tmp_path / "rows.jsonl", rows), str(tmp_path / "rows.parquet")):
        sample = take_sample([path])
        assert set(sample.columns) == {"id", "y", "from.zone", "from.at.lat"}
        assert not sample.unreadable
        assert sample.columns["from.zone"].null_count == 60
        proposal, _ = guess_spec([path], label="y")
        columns = {guess.column for guess in proposal.features.values()}
        assert {"from.zone", "from.at.lat"} <= columns
        assert not _read(path, parse(proposal.document))[1]
    mixed = [
        {"a": {"b": 1}, "e": {}, "l": [{"k": 1}], "p": 1},
        {"a": 2, "p": 2},
        {"a": None, "p": 3},
    ]
    unreadable = take_sample([_lines(tmp_path / "mixed.jsonl", mixed)]).unreadable
    assert unreadable == {
        "a": "holds objects in some rows and plain values in others",
        "e": "holds objects without values",
        "l": "holds lists of objects or lists; only plain values are read",
    }


def test_requests_hold_nested_objects_or_names_with_dots() -> None:
    inputs = {"from.zone": Input("string", True, 2), "n": Input("float32", False, 2)}
    nested = [{"from": {"zone": ["a"]}, "n": [1.0]}, {"from": {"zone": ["b"]}, "n": [2.0]}]
    flat = [{"from.zone": ["a"], "n": [1.0]}, {"from.zone": ["b"], "n": [2.0]}]
    for rows in (nested, flat, [nested[0], flat[1]]):
        columns, count = of_rows(rows, inputs)
        assert count == 2
        assert columns["from.zone"].tolist() == [[b"a"], [b"b"]]
    both = [{"from.zone": ["own"], "from": {"zone": ["nested"]}, "n": [1.0]}]
    assert of_rows(both, inputs)[0]["from.zone"].tolist() == [[b"own"]]
    assert (
        of_rows([{"from": {"zone": [{"b64": "YQ=="}]}, "n": [1.0]}], inputs)[0]["from.zone"] == b"a"
    )
    with pytest.raises(ServingError, match=r"keys must be equal to: from\.zone,n"):
        of_rows([{"from": {"zones": ["a"]}, "n": [1.0]}], inputs)
    assert example({"from": {"zone": "a"}, "n": 1.0}) == example({"n": 1.0, "from.zone": "a"})
    assert example({"b": {"b64": "YQ=="}}) == example({"b": "a"})


def test_a_column_is_taken_by_its_own_name_and_by_that_of_its_argument() -> None:
    # As an export has them: TensorFlow takes no argument with a dot or a space in its name.
    inputs = {
        "from_zone": Input("string", True, 1, "from.zone"),
        "an_age": Input("float32", True, 1, "an age"),
        "a_b": Input("float32", True, 1, "a.b"),
        "a_b_": Input("float32", True, 1, "a_b"),
    }
    rows: list[dict[str, Any]] = [
        {"from": {"zone": "x"}, "an age": 1.0},
        {"from.zone": "x", "an_age": 1.0},
        {"from_zone": "x", "an age": 1.0},
    ]
    columns, count = of_rows(rows, inputs)
    assert count == 3 and columns.keys() == {"from_zone", "an_age"}
    assert columns["from_zone"].tolist() == [b"x"] * 3
    found = of_columns({"from.zone": ["x"], "an age": [1.0]}, inputs)
    assert found.keys() == {"from_zone", "an_age"}
    # What one column is called and another one's argument is the argument.
    assert of_columns({"a.b": [1.0], "a_b_": [2.0]}, inputs)["a_b"] == [1.0]
    assert of_columns({"a_b": [1.0]}, inputs).keys() == {"a_b"}
    for twice in ({"an age": 1.0, "an_age": 2.0}, {"from": {"zone": "x"}, "from_zone": "y"}):
        with pytest.raises(ServingError, match="keys must be equal to"):
            of_rows([twice], inputs)
    with pytest.raises(ServingError, match='an_age,from_zone; it has "nope"'):
        of_rows([{"an age": 1.0, "nope": 2.0}], inputs)
    with pytest.raises(ServingError, match="does not have named input: an age"):
        of_columns({"an age": [1.0], "an_age": [2.0]}, inputs)


def test_tables_and_single_rows_to_predict_for_may_nest() -> None:
    spec = _asked("from.zone", "from.at.lat")
    table = pa.Table.from_pylist(ROWS)
    (nested,) = model_columns(table, spec, Spellings(spec, lambda _: []))
    wanted = [
        {"from.zone": row["from.zone"], "from.at.lat": row["from.at.lat"]}
        for row in canonical_rows(ROWS, spec).to_pylist()
    ]
    assert [row["from.zone"] for row in wanted] == ["a", None, None, "b"]
    assert nested.to_pylist() == wanted
    # Each column by itself: leaving one out must leave nothing of it within an object.
    assert by_column(ROWS[0], ["from.zone", "from.at"]) == {
        "from.zone": "a",
        "from.at": {"lat": 1.5},
    }
    assert by_column({"from": {"zone": None}, "k": None}, ["from.zone", "k"]) == {"k": None}
    with pytest.raises(
        DataError, match=r"column 'from\.zone': expected an object at 'from', got int"
    ):
        by_column({"from": 5}, ["from.zone"])
