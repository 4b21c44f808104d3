"""The benchmark's peers do the same job, and its checks notice when a job does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from benchmarks import ablation
from benchmarks.preprocessing import data
from benchmarks.preprocessing.checks import Reference, count_records, read_vocabularies
from benchmarks.preprocessing.peers import job
from skewless.schemas import parse
from skewless.schemas.spec.splits import Split

ROWS = 400
ODD_TEXTS = (
    "",
    "   ",
    "don't stop,now -- e.g. O’Neil's",
    "'quoted' words''here '' ' 'tis",
    "ÉCOLE naïve—dash Straße Жук 東京 x2",
    "tab\tsplit line\nbreak  two  spaces\u00a0no\u3000break",
    " ".join(f"w{place}" for place in range(300)),
    "_under_score_ #hash @at 1,000.50 a'b'c",
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated rows, of which the first have odd texts; where `compare` looks for them."""
    path = tmp_path_factory.mktemp("data") / f"reviews-{ROWS}.parquet"
    table = pa.Table.from_batches(data.generate(ROWS))
    for place, name in enumerate(job.TEXTS):
        texts = table[name].to_pylist()
        texts[: len(ODD_TEXTS)] = ODD_TEXTS
        texts[len(ODD_TEXTS) : 2 * len(ODD_TEXTS)] = ODD_TEXTS[::-1] if place else ODD_TEXTS
        table = table.set_column(
            table.schema.get_field_index(name), name, pa.array(texts, pa.string())
        )
    pa.parquet.write_table(table, path, row_group_size=150)
    return path


@pytest.fixture
def output(rows: Path, tmp_path: Path) -> Path:
    """What the hand-written peer makes of the rows."""
    return _hand_written(rows, tmp_path / "out")


def _hand_written(source: Path, output: Path, workers: int = 2) -> Path:
    module = "benchmarks.preprocessing.peers.handwritten"
    command = [sys.executable, "-m", module, "--input", source, "--output", output]
    subprocess.run([*command, "--workers", str(workers)], check=True, capture_output=True)
    return output


def _problems(rows: Path, output: Path) -> list[str]:
    reference = Reference(rows, keep=True)
    found = read_vocabularies(output)
    return reference.vocabulary_problems(found) + reference.record_problems(output, found)


def test_split_is_the_pipelines() -> None:
    from skewless.beam_pipelines.rows.assign_splits import assign_splits

    keys = [f"r{place}" for place in range(9_999_000, 10_003_000)]
    keys += ["sixteen bytes ö", "eight by"]
    ours = assign_splits(
        Split(),
        keys=pa.array(keys, pa.string()),
        hashed=None,
        named=None,
        times=None,
        forced=None,
    )
    texts = [key.encode() for key in keys]
    assert [job.split_of(text) for text in texts] == ours.tolist()
    heads, tails = (
        np.frombuffer(b"".join(parts), "<u8")
        for parts in ([text[:8] for text in texts], [text[-8:] for text in texts])
    )
    together = job.splits_of(np.array([len(text) for text in texts], np.uint64), heads, tails)
    assert together.tolist() == ours.tolist()


def test_split_refuses_keys_that_it_cannot_hash() -> None:
    with pytest.raises(ValueError, match="8 to 16 bytes"):
        job.split_of(b"short")
    with pytest.raises(ValueError, match="8 to 16 bytes"):
        job.splits_of(np.array([17], np.uint64), np.zeros(1, np.uint64), np.zeros(1, np.uint64))


@pytest.mark.parametrize("workers", [1, 3])
def test_hand_written_peer_is_right(rows: Path, tmp_path: Path, workers: int) -> None:
    output = _hand_written(rows, tmp_path / "out", workers)
    assert count_records(output) == ROWS
    assert _problems(rows, output) == []


def test_hand_written_peer_reads_csv(tmp_path: Path) -> None:
    source = data.write(ROWS, tmp_path / "rows.csv")
    assert _problems(source, _hand_written(source, tmp_path / "out")) == []


def test_a_lost_record_is_noticed(rows: Path, output: Path) -> None:
    shard = next(path for path in sorted((output / "train").iterdir()) if path.stat().st_size)
    content = shard.read_bytes()
    first = 16 + int.from_bytes(content[:8], "little")
    shard.write_bytes(content[first:])
    assert count_records(output) == ROWS - 1
    assert any("lost" in problem for problem in _problems(rows, output))
    shard.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="ends within a record"):
        count_records(output)


def test_a_record_in_another_split_is_noticed(rows: Path, output: Path) -> None:
    (output / "eval").rename(output / "aside")
    (output / "test").rename(output / "eval")
    (output / "aside").rename(output / "test")
    assert any("another split" in problem for problem in _problems(rows, output))


def test_a_vocabulary_in_another_order_is_noticed(rows: Path, output: Path) -> None:
    path = output / "vocabularies" / "body"
    tokens = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*tokens[:-2], tokens[-1], tokens[-2]]))
    problems = _problems(rows, output)
    assert "vocabulary of body differs from the counts" in problems
    assert any(problem.startswith("body differs") for problem in problems)


def test_a_process_tree_is_measured(tmp_path: Path) -> None:
    pytest.importorskip("psutil")
    from benchmarks.preprocessing.measure import measure

    inner = "import time; held = bytearray(200_000_000); time.sleep(1.5)"
    script = (
        "import pathlib, subprocess, sys; "
        f"pathlib.Path({str(tmp_path / 'part.tfrecord')!r}).write_bytes(b'1'); "
        f"subprocess.run([sys.executable, '-c', {inner!r}]); "
        "print('progress {\"rows_in\": 3}'); sys.exit(3)"
    )
    found = measure([sys.executable, "-c", script], tmp_path)
    assert found.exit_code == 3
    assert found.last_line == {"rows_in": 3}
    assert 200_000_000 < found.peak_bytes < 400_000_000
    assert found.first_record is not None and 0 < found.first_record < found.wall
    assert found.wall > 1.5


@pytest.mark.slow
def test_all_peers_and_ours_agree(rows: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("psutil")
    from benchmarks.preprocessing.compare import main

    code = main(["--quick", "--rows", str(ROWS), "--data", str(rows.parent)])
    shown = capfd.readouterr().out
    assert code == 0, shown
    assert "WRONG" not in shown
    assert (rows.parent / "results" / "preprocessing.json").exists()


def test_ratios_compare_with_ours_at_the_same_or_the_nearest_size() -> None:
    pytest.importorskip("psutil")
    from benchmarks.preprocessing.compare import _with_ratios

    def entry(name: str, rows: int, speed: float | None) -> dict[str, Any]:
        return {
            "name": name,
            "ours": name == "ours",
            "format": "csv",
            "rows": rows,
            "wall": rows / 1_000 if name == "ours" else 100.0,
            "rows_per_second_flowing": speed,
        }

    summaries = [
        entry("ours", 1_000, None),
        entry("ours", 200_000, 30.0),
        entry("ours", 1_000_000, 40.0),
        entry("slow", 200_000, 10.0),
        entry("fast", 5_000_000, 80.0),
    ]
    found = _with_ratios(summaries)
    assert [entry["ratio"] for entry in found] == [None, 1.0, 1.0, 3.0, 0.5]
    assert [entry["whole_ratio"] for entry in found] == [1.0, 1.0, 1.0, 2.0, None]


@pytest.mark.slow
def test_table_and_chart_show_every_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.preprocessing.report import chart, table

    run = {
        "format": "csv",
        "rows": 200_000,
        "wall": 12.5,
        "rows_per_second": 16_000.0,
        "rows_per_second_flowing": 18_181.0,
        "peak_gigabytes": 1.25,
        "rows_kept": True,
    }
    summaries = [
        {"name": "ours", "ours": True, "right": True, **run},
        {"name": "another", "ours": False, "right": False, **run},
    ]
    lines = table(summaries, "PSS").splitlines()
    assert lines[2].split()[:5] == ["ours", "csv", "200,000", "12.50", "-"]
    assert lines[3].endswith("yes     NO")
    chart(summaries, tmp_path / "chart.png")
    drawn = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    assert (tmp_path / "chart.png").stat().st_size > 5_000
    assert "another (200k rows)" in drawn and "CSV" in drawn


def test_an_ablation_changes_one_part_and_tells_the_difference() -> None:
    document: dict[str, Any] = {
        "name": "n",
        "features": {
            "day": {"type": "timestamp"},
            "shop": {"type": "categorical"},
            "size": {"type": "numeric", "embedding": "piecewise_linear"},
        },
        "label": {"column": "y", "type": "regression"},
        "model": {"hidden": [8]},
        "training": {"schedule": "cosine"},
    }
    arms = ablation.arms(document)
    assert "no tf_idf" not in arms and arms[ablation.PROPOSAL] == document
    assert {"no times", "crosses", "ema: 0.999", "no schedule"} <= set(arms)
    for part, changed in arms.items():
        parse(changed, source=part)
    (cross,) = (each for each in arms["crosses"]["features"].values() if each["type"] == "cross")
    assert cross["of"] == ("shop", "size_bucket")
    scores = {ablation.PROPOSAL: (1.0, 2.0), "linear": (0.5, 1.7)}
    found = {
        "bike": {
            part: {str(seed): {"score": score} for seed, score in enumerate(both, 1)}
            for part, both in scores.items()
        }
    }
    assert ablation.table(found).splitlines()[2:] == [
        "| as proposed | 1.5 (2 seeds) |",
        "| linear | 1.1 (-0.4 ± 0.1) |",
    ]
