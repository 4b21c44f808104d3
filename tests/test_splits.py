"""Splits are a pure function of the row, with shares as declared."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from skewless.beam_pipelines.rows.assign_splits import assign_splits
from skewless.beam_pipelines.rows.keys import fingerprint, wide_fingerprint
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan, row_contents
from skewless.schemas import parse
from skewless.schemas.spec.splits import SPLITS, Split

KEYS = pa.array([f"row-{number}" for number in range(20_000)])


def assigned(split: Split, keys: pa.Array = KEYS, **other: object) -> np.ndarray:
    given_columns = {"hashed": None, "named": None, "times": None, "forced": None, **other}
    return assign_splits(split, keys=keys, **given_columns)


def test_farmhash_is_the_published_one() -> None:
    """Frozen values: other ones would move rows between splits of existing data sets."""
    values = pa.array(["", "a", "row-1", "été", None])
    assert [f"{value:016x}" for value in fingerprint(values).tolist()] == FROZEN


FROZEN = [
    "9ae16a3b2f90404f",
    "b3454265b6df75e3",
    "20b3456debb8e2d2",
    "bbcd49d1b6abe896",
    "be6056edf5e94b54",
]


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.5, 0.5, 0.0), (1.0, 0.0, 0.0)])
def test_shares_are_as_declared(shares: tuple[float, float, float]) -> None:
    counts = np.bincount(assigned(Split(**dict(zip(SPLITS, shares, strict=True)))), minlength=3)
    # Five standard deviations of a binomial share of 20,000 rows.
    for count, share in zip(counts, shares, strict=True):
        assert abs(count / len(KEYS) - share) <= 5 * (share * (1 - share) / len(KEYS)) ** 0.5


@given(st.lists(st.text(), min_size=1))
def test_a_row_keeps_its_split_wherever_it_stands(keys: list[str]) -> None:
    split = Split(train=0.4, eval=0.3, test=0.3)
    alone = [int(assigned(split, pa.array([key], pa.string()))[0]) for key in keys]
    assert assigned(split, pa.array(keys, pa.string())).tolist() == alone


def test_rows_alike_in_the_hashed_column_stay_together() -> None:
    users = pa.array([f"u{number % 500}" for number in range(len(KEYS))])
    places = assigned(Split(by="user"), hashed=users)
    per_user = {(number % 500, int(place)) for number, place in enumerate(places)}
    assert len(per_user) == 500
    assert len(set(places.tolist())) == 3


def test_a_larger_training_share_keeps_the_old_training_rows() -> None:
    small = assigned(Split(train=0.5, eval=0.25, test=0.25)) == 0
    large = assigned(Split(train=0.7, eval=0.15, test=0.15)) == 0
    assert not (small & ~large).any()


def test_named_and_forced_splits_win() -> None:
    named = pa.array(["test", "train", "eval"])
    split = Split(column="fold")
    assert assigned(split, KEYS[:3], named=named).tolist() == [2, 0, 1]
    assert assigned(split, KEYS[:3], named=named, forced="eval").tolist() == [1, 1, 1]


def test_wide_fingerprints_tell_keys_apart() -> None:
    wide = wide_fingerprint(KEYS)
    assert wide.shape == (len(KEYS), 2)
    assert len(np.unique(wide, axis=0)) == len(np.unique(wide[:, 1])) == len(KEYS)


HEADER = ["id", "a", "b", "c", "y"]
WHOLE = {
    "name": "t",
    "features": {
        "a": {"type": "categorical"},
        "b": {"type": "numeric"},
        "c": {"type": "text", "length": 3},
    },
    "label": {"column": "y", "type": "multiclass"},
}


def _table(rows: int = 300) -> pa.Table:
    random = np.random.default_rng(5)
    return pa.table(
        {
            "id": [f"r{row}" for row in range(rows)],
            "a": [None if row % 7 == 0 else f"k{random.integers(9)}" for row in range(rows)],
            "b": random.integers(0, 50, rows).tolist(),
            "c": [f"some, {'quoted' * (row % 3)} text" for row in range(rows)],
            "y": random.integers(0, 3, rows).tolist(),
        }
    )


def _write(directory: Path, name: str, table: pa.Table) -> str:
    path = directory / name
    if ".csv" in name:
        pa.csv.write_csv(table, path.with_suffix(".plain"))
        data = path.with_suffix(".plain").read_bytes()
    elif ".jsonl" in name:
        data = "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()
    elif ".tfrecord" in name:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for row in table.to_pylist():
                example = tf.train.Example()
                for column, value in row.items():
                    if value is not None:
                        entry = example.features.feature[column].bytes_list
                        entry.value.append(str(value).encode())
                writer.write(example.SerializeToString(deterministic=True))
        return str(path)
    else:
        pa.parquet.write_table(table, path, row_group_size=40)
        return str(path)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def _keys(path: str, document: dict[str, Any], **cuts: int) -> tuple[list[str], list[int]]:
    spec = parse(document)
    rows = [rows for unit in plan([path], spec, **cuts) for rows in rows_of(unit, spec)]
    return (
        [key for part in rows for key in part.keys.to_pylist()],
        [int(split) for part in rows for split in part.splits],
    )


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "tfrecord"])
def test_without_a_key_no_change_of_features_moves_a_row(ending: str, tmp_path: Path) -> None:
    path = _write(tmp_path, f"rows.{ending}", _table())
    keys, splits = _keys(path, WHOLE)
    assert len(set(keys)) == 300
    assert np.bincount(splits, minlength=3).min() > 10
    for dropped in WHOLE["features"]:
        features = {name: f for name, f in WHOLE["features"].items() if name != dropped}
        assert _keys(path, {**WHOLE, "features": features}) == (keys, splits)
    assert _keys(path, {**WHOLE, "label": None, "keep": ["id"]}) == (keys, splits)
    assert _keys(path, WHOLE, unit_bytes=500, unit_rows=30) == (keys, splits)
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(path, tmp_path / "elsewhere" / f"renamed.{ending}")
    assert _keys(str(moved), WHOLE) == (keys, splits)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_how_text_is_packed_moves_no_row(ending: str, tmp_path: Path) -> None:
    plain = _keys(_write(tmp_path, f"rows.{ending}", _table()), WHOLE)
    assert _keys(_write(tmp_path, f"rows.{ending}.gz", _table()), WHOLE) == plain


def test_csv_and_parquet_of_texts_and_whole_numbers_agree(tmp_path: Path) -> None:
    turned = _table().select(list(reversed(HEADER)))
    expected = _keys(_write(tmp_path, "rows.csv", _table()), WHOLE)
    assert _keys(_write(tmp_path, "rows.parquet", turned), WHOLE) == expected


def test_equal_rows_fall_into_one_split_and_rejected_rows_move_none(tmp_path: Path) -> None:
    table = _table(60)
    path = _write(tmp_path, "rows.csv", pa.concat_tables([table, table]))
    lines = Path(path).read_text().splitlines(keepends=True)
    Path(path).write_text("".join([*lines[:3], "too,short\n", '"r",a,x,c,1\n', *lines[3:]]))
    keys, splits = _keys(path, WHOLE)
    assert keys[:60] == keys[60:]
    assert splits[:60] == splits[60:]


_CELLS = st.one_of(
    st.tuples(st.just(pa.string()), st.text(max_size=3)),
    st.tuples(st.just(pa.int64()), st.integers(-9, 9)),
    st.tuples(st.just(pa.float32()), st.floats(width=32)),
    st.tuples(st.just(pa.bool_()), st.booleans()),
    st.tuples(st.just(pa.timestamp("us", "Nowhere/Atlantis")), st.integers(-(2**62), 2**62)),
    st.tuples(st.just(pa.date32()), st.integers(-(2**30), 2**30)),
    st.tuples(st.just(pa.list_(pa.string())), st.lists(st.one_of(st.none(), st.text(max_size=2)))),
    st.tuples(
        st.just(pa.struct([("u", pa.int8()), ("v", pa.list_(pa.int8()))])),
        st.fixed_dictionaries({"u": st.integers(0, 9), "v": st.lists(st.integers(0, 9))}),
    ),
    st.tuples(st.just(pa.map_(pa.string(), pa.int8())), st.lists(st.tuples(st.text(max_size=2), st.integers(0, 9)))),
    st.tuples(st.just(pa.list_(pa.int8(), 2)), st.lists(st.integers(0, 9), min_size=2, max_size=2)),
)  # fmt: skip


@given(st.data())
def test_contents_are_the_same_however_a_batch_is_cut(data: st.DataObject) -> None:
    kind, first = data.draw(_CELLS)
    same = _CELLS.filter(lambda drawn: drawn[0] == kind).map(lambda drawn: drawn[1])
    values = data.draw(st.lists(st.one_of(st.none(), same), max_size=5))
    column = pa.array([first, *values], kind)
    table = pa.RecordBatch.from_arrays([column, column.take(list(range(len(column))))], ["a", "b"])
    whole = row_contents(table).to_pylist()
    for at in range(len(column)):
        assert row_contents(table.slice(at, 1)).to_pylist() == [whole[at]]
    if not pa.types.is_map(kind):
        encoded = (
            table.set_column(0, "a", column.dictionary_encode()) if kind == pa.string() else table
        )
        assert row_contents(encoded).to_pylist() == whole


def test_contents_tell_rows_apart() -> None:
    table = pa.RecordBatch.from_pydict(
        {
            "a": ["x", "x", None, None, ""],
            "b": [None, "y", "xy", None, ""],
            "c": [[""], [], None, ["p", "q"], ["pq"]],
        }
    )
    assert len(set(row_contents(table).to_pylist())) == 5
