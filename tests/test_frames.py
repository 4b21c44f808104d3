"""Frames as files of rows: what each column becomes, compared with the CSV or Python values of the same rows."""

from __future__ import annotations

import datetime as dt
import io
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

import skewless as sk
from skewless.frames import as_globs, plain_row, reader_of
from skewless.schemas.rows.native.layouts import plain_layout


def rows_of(data: Any, folder: Path) -> list[dict[str, Any]]:
    """Returns the rows of the file that a job reads."""
    with as_globs(data, folder / "out") as (path,):
        return parquet.read_table(path).to_pylist()


@pytest.mark.parametrize(
    "values",
    [
        pd.period_range("2020-01", periods=4, freq="M"),
        pd.interval_range(0, 4),
        pd.cut([0.1, 0.5, 0.7, np.nan], [0, 0.25, 0.6, 1]),
        pd.Series(["u", 1, 2.5, None], dtype=object),
        pd.Series([10**30, 1, None, 3], dtype=object),
        pd.Series(["u", dt.date(2024, 1, 2), Decimal("1.25"), pd.NA], dtype=object),
    ],
    ids=["period", "interval", "cut", "kinds", "large", "dates"],
)
def test_what_arrow_alone_misreads_is_the_text_that_csv_has(values: Any, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": values, "b": range(4)})
    written = pd.read_csv(
        io.StringIO(frame.to_csv(index=False)), dtype={"a": str}, keep_default_na=False
    )
    got = [row["a"] or "" for row in rows_of(frame, tmp_path)]
    assert got == written["a"].tolist()


def test_an_index_is_columns_where_it_has_names_and_only_there(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [5, 6, 7]})
    shuffled = frame.sample(frac=1, random_state=1)
    assert sorted(row["a"] for row in rows_of(shuffled, tmp_path)) == [5, 6, 7]
    assert {name for row in rows_of(shuffled, tmp_path) for name in row} == {"a"}
    named = frame.set_index(pd.RangeIndex(3, 6, name="id"))
    assert [row["id"] for row in rows_of(named, tmp_path)] == [3, 4, 5]
    levels = frame.set_index(pd.MultiIndex.from_arrays([[1, 2, 3], list("xyz")], names=[None, "v"]))
    assert rows_of(levels, tmp_path)[0] == {"a": 5, "v": "x"}


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (lambda: pd.DataFrame({"a": pd.arrays.SparseArray([0, 7])}), [0, 7]),
        (lambda: pd.DataFrame({"a": [np.eye(2), None]}), [[[1.0, 0.0], [0.0, 1.0]], None]),
        (lambda: pl.DataFrame({"a": ["x", "y"]}, schema={"a": pl.Categorical}), ["x", "y"]),
        (lambda: pl.DataFrame({"a": ["x", None]}, schema={"a": pl.Enum(["x"])}), ["x", None]),
        (lambda: pl.LazyFrame({"a": [[1], []]}), [[1], []]),
        (lambda: [pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2, 3]})], [1, 2, 3]),
        (lambda: (pl.DataFrame({"a": [at]}) for at in range(3)), [0, 1, 2]),
        (lambda: pa.record_batch({"a": [1, 2]}), [1, 2]),
        (
            lambda: pa.table(
                {"a": pa.array(["x", "x"], pa.string_view()).dictionary_encode()}
            ),
            ["x", "x"],
        ),
        (lambda: ({"a": at} for at in range(3)), [0, 1, 2]),
        (lambda: pa.table({"a": pa.array([4, 4], pa.run_end_encoded(pa.int32(), pa.int64()))}), [4, 4]),
    ],
    ids=["sparse", "arrays", "categorical", "enum", "lazy", "frames", "generator", "batch", "views", "dicts", "runs"],
)  # fmt: skip
def test_frames_of_all_layouts_are_read(
    frame: Callable[[], Any], wanted: list[Any], tmp_path: Path
) -> None:
    assert [row["a"] for row in rows_of(frame(), tmp_path)] == wanted
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "expected each name once, got 'a' 2 times"),
        (pd.DataFrame({0: [1], "0": [2]}), "expected each name once, got '0' 2 times"),
        (pa.table([[1], [2]], names=["a", "a"]), "expected each name once, got 'a'"),
        (pd.DataFrame({"a": [1j]}), "column 'a', row 1: .* got complex"),
        (pd.DataFrame({"a": ["u", Path("v")]}), "column 'a', row 2: .* got .*Path; turn"),
        (pd.DataFrame({"a": ["u", ["v"]]}), "column 'a', row 2: .* got list; turn"),
        (
            pd.DataFrame({"a": [dt.date(2024, 1, 1), dt.datetime(2024, 1, 2, 3)]}, dtype=object),
            "column 'a': expected dates or times, got both",
        ),
        (pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}), "'a': .* polars' Object"),
        (pd.Series([1], name="a"), "expected a table, got Series"),
        ([pd.DataFrame({"a": [1]}), pd.DataFrame({"a": ["x"]})], "part 2 of the rows: .* a int64"),
        ([pd.DataFrame({"a": [1]}), 3], "part 2 of the rows: .* got int; give all"),
        (["x.csv", 3], "got list; make other rows a DataFrame"),
        ({"a": [1]}, r"got dict; give one row as \[row\], or columns"),
        ([{"a": 1}, {"a": object()}], "column 'a', row 2: .* got object"),
    ],
)
def test_what_no_column_can_hold_is_one_line(frame: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(sk.SkewlessError, match=said) as caught:
        rows_of(frame, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_dicts_are_rows_whatever_keys_each_has(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": "x"}, {"b": 2, "c": np.int64(3)}, {}]
    assert rows_of(rows, tmp_path) == [
        {"a": 1, "b": "x", "c": None},
        {"a": None, "b": "2", "c": 3},
        {"a": None, "b": None, "c": None},
    ]


def test_dictionaries_of_views_and_uuids_are_texts() -> None:
    views = pa.array(["x", None, "y"], pa.string_view()).dictionary_encode()
    assert plain_layout(views).to_pylist() == ["x", None, "y"]
    some = uuid.UUID(int=7)
    ids = pa.array([some.bytes, None], pa.binary(16)).cast(pa.uuid())
    assert plain_layout(ids).to_pylist() == [str(some), None]


def test_columns_that_are_not_read_need_not_be_held() -> None:
    table = pd.DataFrame([[1, object(), 2, 3]], columns=["a", "odd", "b", "b"])
    assert reader_of(table, {"a"}).read_all().to_pylist() == [{"a": 1}]
    frame = pl.DataFrame({"a": [1], "odd": pl.Series([object()], dtype=pl.Object)})
    assert reader_of(frame, {"a"}).read_all().to_pylist() == [{"a": 1}]


def test_a_row_of_any_library_is_plain_values() -> None:
    row = {
        "i": np.int64(3), "f": np.float32(0.1), "n": float("nan"), "na": pd.NA, "nat": pd.NaT,
        "b": np.bool_(True), "t": pd.Timestamp("2024-01-01 05:00", tz="Asia/Kolkata"),
        "d": Decimal("1.50"), "u": np.datetime64("2024-01-01T05"), "l": np.array(["x"]),
        "o": {"z": np.int8(2)}, "y": b"caf\xc3\xa9", 7: "named by a number",
    }  # fmt: skip
    assert plain_row(row) == {
        "i": 3, "f": 0.1, "n": None, "na": None, "nat": None, "b": True,
        "t": "2024-01-01T05:00:00+05:30", "d": "1.5", "u": "2024-01-01T05:00:00", "l": ["x"],
        "o": {"z": 2}, "y": "café", "7": "named by a number",
    }  # fmt: skip
    frame = pd.DataFrame({"a": [1, 2], "t": pd.to_datetime(["2024-01-01", "2024-01-02"])})
    wanted = {"a": 1, "t": "2024-01-01T00:00:00"}
    for same in (frame.iloc[0], frame[:1], pl.from_pandas(frame)[:1], pa.table(frame)[:1]):
        assert plain_row(same) == wanted
    for odd, said in (
        (None, "got NoneType"), (frame, "expected one row, got 2"), ({"a": object()}, "'a': .* got object"),
        ({"a": {1}}, "'a': .* got set"), ({"a": b"\xff"}, "'a': .* got bytes"),
    ):  # fmt: skip
        with pytest.raises(sk.SkewlessError, match=said):
            plain_row(odd)
