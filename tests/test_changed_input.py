"""Input that goes, shrinks, grows or is replaced after it was planned is told, never mixed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import zstandard

from skewless import cli
from skewless.beam_pipelines.analysis import duplicates
from skewless.beam_pipelines.rows import validation
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import as_seen_from_anywhere, plan
from skewless.schemas.errors import DataError
from skewless.schemas.spec.spec import parse

SPEC = parse({"name": "t", "features": {"a": {"type": "numeric"}}})
ROWS = 1000


def _csv(path: Path, value: int) -> None:
    path.write_text("a\n" + f"{value}\n" * ROWS)


def _zst(path: Path, value: int) -> None:
    path.write_bytes(zstandard.compress(("a\n" + f"{value}\n" * ROWS).encode()))


def _jsonl(path: Path, value: int) -> None:
    path.write_text(f'{{"a": {value}}}\n' * ROWS)


def _parquet(path: Path, value: int) -> None:
    pa.parquet.write_table(pa.table({"a": [value] * ROWS}), path)


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "rows.csv": _csv,
    "rows.csv.zst": _zst,
    "rows.jsonl": _jsonl,
    "rows.parquet": _parquet,
}


def _gone(path: Path) -> None:
    path.unlink()


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"3\n")


def _replaced(path: Path) -> None:
    """Another file of the same size takes the place, a second later."""
    changed = path.stat().st_mtime + 1
    other = path.with_name(f"other{''.join(path.suffixes)}")
    WRITERS[path.name](other, 2)
    assert other.stat().st_size == path.stat().st_size
    os.utime(other, (changed, changed))
    other.replace(path)


CHANGES = [
    (_gone, "is gone"),
    (_truncated, "bytes and has"),
    (_grown, "bytes and has"),
    (_replaced, "was written again"),
]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("change", "words"), CHANGES)
@pytest.mark.parametrize("begun", [False, True])
def test_a_file_that_is_not_the_planned_one_is_named(
    tmp_path: Path, name: str, change: Callable[[Path], None], words: str, begun: bool
) -> None:
    path = tmp_path / name
    WRITERS[name](path, 1)
    (unit,) = plan([str(path)], SPEC)
    rows = rows_of(unit, SPEC)
    if begun:
        assert next(rows).read == ROWS
    change(path)
    with pytest.raises(DataError) as refused:
        list(rows)
    assert str(refused.value).startswith(f"{path}: {'had ' if 'bytes' in words else ''}")
    assert words in str(refused.value)
    assert "leave the input in place" in str(refused.value)


def test_a_cluster_may_hold_copies_of_another_time_but_not_of_another_size(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    _csv(path, 1)
    unit = as_seen_from_anywhere(plan([str(path)], SPEC)[0])
    _replaced(path)
    assert sum(rows.read for rows in rows_of(unit, SPEC)) == ROWS
    _truncated(path)
    with pytest.raises(DataError, match="bytes and has"):
        list(rows_of(unit, SPEC))


@pytest.mark.parametrize(
    ("owner", "name", "place", "mode"),
    [
        (validation, "canonical", "rows 1 to 3, column a", "in_memory"),
        (duplicates, "wide_fingerprint", "rows 1 to 3, column id", "multi_threading"),
    ],
)
def test_any_other_error_of_a_worker_names_file_rows_and_column(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    owner: object,
    name: str,
    place: str,
    mode: str,
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("oh")

    (tmp_path / "spec.yaml").write_text("name: t\nkey: id\nfeatures:\n  a: {type: numeric}\n")
    rows = tmp_path / "rows.csv"
    rows.write_text("id,a\n1,1\n1,2\n2,3\n")
    monkeypatch.setattr(owner, name, fails)
    options = [f"--direct_running_mode={mode}"]
    spec, out = str(tmp_path / "spec.yaml"), str(tmp_path / "out")
    assert cli.main(["preprocess", spec, "--input", str(rows), "--output", out, *options]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(f"skewless preprocess: {rows}, {place}: KeyError: 'oh'; this should not")
    assert "-v" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "spec.yaml"]
