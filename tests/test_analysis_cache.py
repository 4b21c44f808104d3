"""The analysis cache: with it or without it, a job finds the same."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from apache_beam import DoFn
from apache_beam.pvalue import TaggedOutput
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.analysis.cache import AnalysisCache, UnitCounts, UnitKeys
from skewless.beam_pipelines.analysis.chosen import chosen_constants, offered
from skewless.beam_pipelines.analysis.counts import Numbers, merge_numbers
from skewless.beam_pipelines.analysis.duplicates import _KeysOfUnits, _later_rows
from skewless.beam_pipelines.analysis.spilled.runs import Run
from skewless.beam_pipelines.analysis.spilled.values import counted_table
from skewless.beam_pipelines.analysis.stage import NUMBERS, _CountTrainingRows
from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.sources import WorkUnit, plan
from skewless.beam_pipelines.sources.digest import unit_sha256
from skewless.schemas import Spec, parse
from skewless.schemas.errors import AccountingError, UsageError
from skewless.schemas.storage.location import Location
from skewless.schemas.storage.mirrored import mirrored
from tests.conftest import SHOP, shop_csv
from tests.test_preprocess import records_of

NOTES: dict[str, Any] = {
    "name": "notes",
    "key": "id",
    "features": {
        "word": {"type": "categorical"},
        "grade": {"type": "numeric", "scale": "z_score"},
    },
    "split": {"train": 1.0},
}
SPECS = [
    parse(document)
    for document in (
        NOTES,
        {**NOTES, "key": None, "name": "without a key"},
        {**NOTES, "split": {"train": 0.5, "eval": 0.5}},
        {**NOTES, "missing_values": ["b"]},
    )
]


# One worker for each spec: tracing its graph takes longer than all it counts here.
COUNTERS: dict[int, _CountTrainingRows] = {}


@dataclass
class Found:
    """What counting units came to, and how many were taken from the cache."""

    vocabulary: bytes
    numbers: list[np.ndarray]
    read: dict[int, int]
    kept: int


def found(spec: Spec, folder: Path, scratch: Path, cache: AnalysisCache | None) -> Found:
    """Finds duplicates and counts all files, as the job's stages do."""
    units = plan([f"{folder}/*"], spec)
    duplicates: dict[int, np.ndarray] = {}
    if spec.key is not None:
        keys = bundle(_KeysOfUnits(spec, str(scratch / "keys"), 2, cache), units)
        parts: dict[int, list[np.ndarray]] = {}
        for item in by_partition(keys).items():
            for order, rows in _later_rows(item):
                parts.setdefault(order, []).append(rows)
        duplicates = {order: np.sort(np.concatenate(rows)) for order, rows in parts.items()}
    counter = COUNTERS.setdefault(id(spec), _CountTrainingRows(spec, "", 2))
    counter._cache, counter._directory = cache, str(scratch / "values")
    outputs = bundle(counter, units, duplicates)
    numbers: Numbers = {}
    counted = []
    for output in outputs:
        if isinstance(output, TaggedOutput) and output.tag == NUMBERS:
            merge_numbers(numbers, output.value)
        elif isinstance(output, TaggedOutput):
            counted.append(output.value)
    runs = by_partition(output for output in outputs if not isinstance(output, TaggedOutput))
    offers = [
        offer for part in runs.values() for offer in offered(part, spec, str(scratch / "values"))
    ]
    constants = chosen_constants(numbers, offers, spec, str(scratch / "vocabularies"))
    return Found(
        Path(constants.vocabularies["word"]).read_bytes(),
        list(vars(constants.numbers["grade"]).values()),
        {order: read for order, read, _ in counted},
        sum(kept for *_, kept in counted),
    )


def bundle(worker: DoFn, units: list[WorkUnit], *beside: Any) -> list[Any]:
    """Returns what a worker gives for units that come to it as one bundle."""
    worker.start_bundle()
    outputs = [output for unit in units for output in worker.process(unit, *beside)]
    return [*outputs, *(_bare(entry) for entry in worker.finish_bundle())]


def _bare(output: Any) -> Any:
    if isinstance(output, TaggedOutput):
        return TaggedOutput(output.tag, output.value.value)
    return output.value


def by_partition(runs: Iterable[tuple[int, Run]]) -> dict[int, list[Run]]:
    """Returns runs as they come to those who merge them."""
    partitions: dict[int, list[Run]] = {}
    for partition, run in runs:
        partitions.setdefault(partition, []).append(run)
    return partitions


def assert_same(first: Found, second: Found) -> None:
    assert first.vocabulary == second.vocabulary
    assert first.read == second.read
    for one, other in zip(first.numbers, second.numbers, strict=True):
        np.testing.assert_array_equal(one, other)


def constants_of(directory: Path) -> dict[str, bytes]:
    """Returns all of a transform but the graph, in whose names TensorFlow numbers its tables."""
    root = directory / "transform"
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".pb"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def notes(path: Path, rows: list[tuple[str, str, float]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    lines = [f"{key},{word},{grade}\n" for key, word, grade in rows]
    path.write_text("id,word,grade\n" + "".join(lines))
    return path


_ROWS = st.lists(
    st.tuples(
        st.sampled_from("pqrstuvw"), st.sampled_from("abc"), st.floats(-9, 9, allow_nan=False)
    ),
    max_size=6,
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3), _ROWS),
        st.tuples(st.just("remove"), st.integers(0, 3)),
        st.tuples(st.just("swap"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("spec"), st.integers(0, len(SPECS) - 1)),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=8)
@given(steps=_STEPS)
def test_whatever_happens_to_the_files_the_result_is_that_of_a_full_pass(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    root = tmp_path_factory.mktemp("steps")
    days = root / "days"
    notes(days / "z.csv", [("p", "a", 1.0), ("q", "b", 2.0)])
    spec = SPECS[0]
    for step in steps:
        if step[0] == "write":
            notes(days / f"{step[1]}.csv", step[2])
        elif step[0] == "remove":
            (days / f"{step[1]}.csv").unlink(missing_ok=True)
        elif step[0] == "swap":
            one, other = days / f"{step[1]}.csv", days / f"{step[2]}.csv"
            if one.exists() and other.exists():
                content = one.read_bytes()
                one.write_bytes(other.read_bytes())
                other.write_bytes(content)
        else:
            spec = SPECS[step[1]]
        cached = found(spec, days, root, AnalysisCache(root / "cache", spec))
        assert_same(cached, found(spec, days, root, None))
    again = found(spec, days, root, AnalysisCache(root / "cache", spec))
    assert again.kept == len(again.read)


def test_a_new_row_elsewhere_changes_what_counts_of_a_kept_file(tmp_path: Path) -> None:
    """The kept file's bytes are the same, but its row is now a later one of its key."""
    days, spec = tmp_path / "days", SPECS[0]
    notes(days / "b.csv", [("p", "a", 1.0), ("q", "a", 2.0)])
    notes(days / "c.csv", [("s", "c", 3.0)])
    cache = AnalysisCache(tmp_path / "cache", spec)
    found(spec, days, tmp_path, cache)
    notes(days / "a.csv", [("p", "b", 5.0)])
    cached = found(spec, days, tmp_path, cache)
    assert cached.vocabulary == b"c\nb\na\n"
    assert cached.kept == 1
    assert_same(cached, found(spec, days, tmp_path, None))


@pytest.mark.slow
def test_the_job_leaves_the_same_with_a_new_file_analysed_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = parse(SHOP)
    days = tmp_path / "days"
    days.mkdir()
    for day in range(2):
        # Keys repeat from day to day, so later days hold duplicates.
        shop_csv(days / f"{day}.csv", rows=60 + 40 * day, seed=day)
    preprocess(spec, [f"{days}/*.csv"], tmp_path / "before", cache=tmp_path / "cache")
    shop_csv(days / "2.csv", rows=150, seed=2)
    with caplog.at_level(logging.INFO, logger="beam_pipelines"):
        cached = preprocess(spec, [f"{days}/*.csv"], tmp_path / "cached", cache=tmp_path / "cache")
    plain = preprocess(spec, [f"{days}/*.csv"], tmp_path / "plain")
    assert "analysis: 2 of 3 work units from" in caplog.text
    assert cached.rows == plain.rows
    assert cached.rows.duplicate == 160
    assert constants_of(tmp_path / "cached") == constants_of(tmp_path / "plain")
    assert records_of(tmp_path / "cached") == records_of(tmp_path / "plain")


def test_kept_counts_take_part_in_the_accounting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = parse(NOTES)
    source = notes(tmp_path / "days" / "a.csv", [("p", "a", 1.0), ("q", "b", 2.0)])
    cache = AnalysisCache(tmp_path / "cache", spec)
    [unit] = plan([str(source)], spec)
    cache.counts(unit, None, lambda: UnitCounts(counted_table(()), {}, 3))
    with pytest.raises(AccountingError, match="3 records were read for analysis, 2 for writing"):
        preprocess(spec, [str(source)], tmp_path / "out", cache=tmp_path / "cache")


def test_damaged_entries_are_told_and_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    days, spec = tmp_path / "days", SPECS[0]
    notes(days / "a.csv", [("p", "a", 1.0), ("q", "b", 2.0)])
    cache = AnalysisCache(tmp_path / "cache", spec)
    whole = found(spec, days, tmp_path, cache)
    entries = sorted((tmp_path / "cache").iterdir())
    assert [entry.name.partition("-")[0] for entry in entries] == ["counts", "keys"]
    for damage in (
        lambda b: b[:-1],
        lambda b: b"",
        lambda b: b[:99] + bytes([b[99] ^ 1]) + b[100:],
    ):
        for entry in entries:
            entry.write_bytes(damage(entry.read_bytes()))
        caplog.clear()
        again = found(spec, days, tmp_path, cache)
        assert_same(again, whole)
        assert again.kept == 0
        assert caplog.text.count("is not as it was written; its rows are analysed again") == 2
        assert found(spec, days, tmp_path, cache).kept == 1


def test_a_file_that_changes_while_it_is_counted_is_not_kept(tmp_path: Path) -> None:
    source = notes(tmp_path / "a.csv", [("p", "a", 1.0)])
    [unit] = plan([str(source)], SPECS[0])
    cache = AnalysisCache(tmp_path / "cache", SPECS[0])

    def count() -> UnitCounts:
        notes(source, [("p", "b", 1.0)])
        return UnitCounts(counted_table(()), {}, 1)

    cache.counts(unit, None, count)
    assert not list((tmp_path / "cache").iterdir())


def test_only_what_counting_reads_of_the_spec_makes_another_entry(tmp_path: Path) -> None:
    source = shop_csv(tmp_path / "a.csv", 20)

    def kept_by(first: Spec, second: Spec) -> bool:
        directory = tmp_path / f"cache-{time.monotonic_ns()}"
        [unit] = plan([str(source)], first)
        one = UnitCounts(counted_table([(0, {b"u": 1})]), {}, 20)
        AnalysisCache(directory, first).counts(unit, None, lambda: one)
        again, kept = AnalysisCache(directory, second).counts(unit, None, lambda: one)
        assert again.values == one.values
        return kept

    def with_text(**keys: Any) -> Spec:
        text = {**SHOP["features"]["text"], **keys}
        return parse({**SHOP, "features": {**SHOP["features"], "text": text}})

    plain = parse(SHOP)
    assert kept_by(plain, parse({**SHOP, "model": {"hidden": [3]}, "name": "other"}))
    assert kept_by(plain, with_text(embedding=3, oov_buckets=7, vocabulary={"max_size": 9}))
    assert not kept_by(plain, with_text(lowercase=False))
    assert not kept_by(plain, parse({**SHOP, "split": {"train": 0.6, "eval": 0.4}}))
    assert not kept_by(plain, parse({**SHOP, "missing_values": []}))


def _parquet(path: Path, words: list[str]) -> None:
    table = pa.table({"id": [str(n) for n in range(len(words))], "word": words})
    pa.parquet.write_table(table, path, row_group_size=2)


def test_a_digest_follows_the_bytes_whatever_the_clock_says(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,word\np,aa\nq,bb\n")
    os.utime(path, (1, 1))
    unit = WorkUnit(str(path), "csv", start=8, columns=("id", "word"))
    before = unit_sha256(unit)
    path.rename(tmp_path / "b.csv")
    assert unit_sha256(WorkUnit(str(tmp_path / "b.csv"), **_but_file(unit))) == before
    path.write_text("id,word\np,aa\nq,bc\n")
    os.utime(path, (1, 1))
    assert unit_sha256(unit) != before
    first = WorkUnit(str(path), "csv", start=8, end=13, columns=("id", "word"))
    kept = unit_sha256(first)
    with path.open("a") as file:
        file.write("r,cc\n")
    assert unit_sha256(first) == kept


def _but_file(unit: WorkUnit) -> dict[str, Any]:
    return {name: value for name, value in vars(unit).items() if name != "file"}


def test_a_digest_tells_row_groups_of_a_parquet_file_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    _parquet(path, ["a", "b", "c", "d"])
    units = [WorkUnit(str(path), "parquet", start=n, end=n + 1) for n in range(2)]
    before = [unit_sha256(unit) for unit in units]
    assert before[0] != before[1]
    content = bytearray(path.read_bytes())
    place = content.index(b"d", content.index(b"c"))
    content[place] = ord("e")
    path.write_bytes(content)
    after = [unit_sha256(unit) for unit in units]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_what_killed_jobs_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    old, young = tmp_path / ".keys-a.1.partial", tmp_path / ".keys-a.2.partial"
    for partial in (old, young):
        partial.write_bytes(b"")
    os.utime(old, (1, 1))
    AnalysisCache(tmp_path, SPECS[0])
    assert [path.name for path in tmp_path.iterdir()] == [young.name]


def test_a_cache_that_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--cache .*file: expected a directory"):
        AnalysisCache(tmp_path / "file", SPECS[0])


def test_entries_of_other_machines_are_fetched_as_they_are_looked_for(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.csv").write_text("id,word,grade\na,b,1\n", encoding="utf-8")
    [unit] = plan([str(tmp_path / "notes.csv")], SPECS[0])
    found = UnitKeys(np.array([2]), np.array([[3, 4]], np.uint64))
    looked: list[str] = []
    for machine in ("a", "b", "c"):
        monkeypatch.setenv("SKEWLESS_CACHE", str(tmp_path / machine))

        def find(machine: str = machine) -> UnitKeys:
            looked.append(machine)
            return found

        with mirrored(uri) as folder:
            kept = AnalysisCache(folder, SPECS[0]).keys(unit, find)
            held = [path.name.partition("-")[0] for path in folder.iterdir()]
        assert (kept.hashes == found.hashes).all() and held == ["keys"]
        Location.of(uri).system.pipe_file(f"{Location.of(uri).path}/counts-other", b"of others")
    assert looked == ["a"]
