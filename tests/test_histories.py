"""Histories against a plain Python oracle: no row sees itself, its ties or the future."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.analysis.counts import counted_vocabularies
from skewless.beam_pipelines.analysis.spilled import runs as sorted_runs
from skewless.beam_pipelines.batch.leaks import tell_leaks
from skewless.beam_pipelines.histories import events, left, ordered, past, stage
from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.rows.read_rows import check_rows, rows_of
from skewless.beam_pipelines.sources import WorkUnit, plan
from skewless.beam_pipelines.statistics.split_statistics import SplitStatistics
from skewless.beam_pipelines.stream import stream
from skewless.beam_pipelines.streaming import local as local_stream
from skewless.beam_pipelines.streaming import pasts as pasts_of_stream
from skewless.beam_pipelines.streaming.event_time import SECOND, Windowing
from skewless.beam_pipelines.streaming.steps import Message, parse_messages
from skewless.cli import main
from skewless.commands.input_rows import rows_of_input
from skewless.model.explained.recommended import recommend
from skewless.model.exported.served_model import ServedModel
from skewless.model.retrieval.distinct_rows import DistinctRows
from skewless.model.retrieval.met_before import met_before
from skewless.schemas import SpecError, parse
from skewless.schemas.errors import DataError, DatasetMismatchError, UsageError
from skewless.schemas.records.layout import STATISTICS, TRANSFORM
from skewless.schemas.records.records import KEY
from skewless.schemas.spec.spec import Spec
from tests.test_preprocess import records_of
from tests.test_spilled import tiny
from tests.test_stream import records_in

HISTORY = {"type": "history", "of": "item", "by": "user", "time": "at", "length": 3}
DOCUMENT: dict[str, Any] = {
    "name": "visits",
    "key": "id",
    "missing_values": ["?"],
    "features": {
        "item": {"type": "categorical", "column": "what"},
        "past": HISTORY,
        "price": {"type": "numeric"},
    },
    "split": {"by": "user", "train": 0.8, "eval": 0.2},
}
Row = dict[str, Any]
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(["a", "b", "c", *map(str, range(30))]),
            "user": st.sampled_from(["u", " u ", "v", "w", "?", "", None]),
            "at": st.sampled_from(
                ["2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-02"]
                + ["2025-12-31T23:59:59.999999", "2026-03-01", " ", None, "never"]
            ),
            "what": st.sampled_from(["x", "y", "z", "Z", "é", "東", "?", "", None]),
            "price": st.sampled_from([1.5, 2, None, "dear"]),
        }
    ),
    max_size=40,
)
_MOMENTS = {
    "2026-01-01": 0, "2026-01-01T00:00:00Z": 0, "2026-01-01T01:00:00+01:00": 0, "2026-01-02": 1,
    "2025-12-31T23:59:59.999999": -1, "2026-03-01": 2,
}  # fmt: skip


def expected(rows: Sequence[Row], length: int) -> dict[int, list[str]]:
    """Returns by record number the history of each row that is written, one after the other."""
    sound = {
        number: row
        for number, row in enumerate(rows, start=1)
        if row["price"] != "dear" and row["at"] != "never"
    }
    first: dict[str, int] = {}
    for number, row in sound.items():
        first.setdefault(row["id"], number)
    written = {number: row for number, row in sound.items() if first[row["id"]] == number}
    found = {}
    for number, row in written.items():
        moment, user = _MOMENTS.get(row["at"]), (row["user"] or "").strip()
        earlier = [
            (_MOMENTS[other["at"]], other["what"].encode(), other["what"])
            for other in written.values()
            if moment is not None
            and user not in ("", "?")
            and (other["user"] or "").strip() == user
            and _MOMENTS.get(other["at"], moment) < moment
            and other["what"] not in ("", "?", None)
        ]
        found[number] = [value for *_, value in sorted(earlier)][-length:]
    return found


def with_past(
    spec: Spec,
    units: Sequence[WorkUnit],
    duplicates: dict[int, np.ndarray],
    root: Path,
    workers: int,
) -> list[WorkUnit]:
    """Does what the stage does, by so many workers, in so many partitions."""
    partitions: dict[Any, list[Any]] = {}
    for worker in range(workers):
        gather = stage._GatherEvents(spec, str(root), workers, None)
        gather.start_bundle()
        for unit in units[worker::workers]:
            for partition, run in gather.process(unit, duplicates):
                partitions.setdefault(partition, []).append(run)
        for windowed in gather.finish_bundle():
            partition, run = windowed.value
            partitions.setdefault(partition, []).append(run)
    found: dict[int, list[Any]] = {}
    for partition, runs in partitions.items():
        for order, where in stage._listed((partition, runs), spec, str(root)):
            found.setdefault(order, []).append(where)
    return [dataclasses.replace(unit, past=tuple(found.get(unit.order, ()))) for unit in units]


def built(
    rows: Sequence[Row], spec: Spec, root: Path, workers: int = 1, unit_bytes: int = 1 << 20
) -> dict[int, list[Any]]:
    """Returns each written row's list, by record number."""
    source = root / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    units = plan([str(source)], spec, unit_bytes=unit_bytes)
    held: set[str] = set()
    duplicates: dict[int, np.ndarray] = {}
    for unit in units:
        for batch in rows_of(unit, spec):
            keys = zip(batch.keys.to_pylist(), batch.numbers.tolist(), strict=True)
            later = [number for key, number in keys if key in held or held.add(key)]  # type: ignore[func-returns-value]
            known = duplicates.get(unit.order, np.empty(0, np.int64))
            duplicates[unit.order] = np.append(known, np.array(later, np.int64))
    found = {}
    for unit in with_past(spec, units, duplicates, root / "runs", workers):
        for batch in rows_of(unit, spec, duplicates=duplicates.get(unit.order)):
            lists = batch.columns.column("past").to_pylist()
            found.update(zip(batch.numbers.tolist(), lists, strict=True))
    return found


@settings(max_examples=25)
@given(
    rows=_ROWS,
    length=st.integers(1, 4),
    workers=st.integers(1, 3),
    unit_bytes=st.sampled_from([150, 1000, 1 << 20]),
    small=st.booleans(),
)
def test_no_row_sees_itself_its_ties_or_the_future(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Row],
    length: int,
    workers: int,
    unit_bytes: int,
    small: bool,
) -> None:
    features = {**DOCUMENT["features"], "past": {**HISTORY, "length": length}}
    spec = parse({**DOCUMENT, "features": features})
    root = tmp_path_factory.mktemp("histories")
    with tiny() as patch:
        if small:
            patch.setattr(stage, "_MOST_EVENTS", 3)
            patch.setattr(past, "_MOST_VALUES", 2)
            patch.setattr(ordered, "_MOST_OPEN", 2)
            patch.setattr(events, "wide_fingerprint", _colliding)
        assert built(rows, spec, root, workers, unit_bytes) == expected(rows, length)


def _colliding(texts: pa.Array) -> np.ndarray:
    """Hashes whose first half all users share."""
    second = [sum(text.encode()) for text in texts.to_pylist()]
    return np.array([[7, value] for value in second], np.uint64).reshape(-1, 2)


_VISITS = st.lists(
    st.tuples(st.sampled_from("uv"), st.integers(0, 5), st.sampled_from(["x", "y", "z", "東", None])),
    max_size=24,
)  # fmt: skip


@settings(max_examples=40)
@given(visits=_VISITS, panes=st.integers(1, 5), in_time=st.booleans(), length=st.integers(1, 3))
def test_a_row_of_a_stream_sees_earlier_rows_that_have_come(
    tmp_path_factory: pytest.TempPathFactory,
    visits: list[tuple[str, int, str | None]],
    panes: int,
    in_time: bool,
    length: int,
) -> None:
    features = {**DOCUMENT["features"], "past": {**HISTORY, "length": length}}
    spec = parse({**DOCUMENT, "features": features})
    root = str(tmp_path_factory.mktemp("stream"))
    if in_time:  # A window's rows are in no order, and rows of one time are in one window.
        cuts = [[v for v in visits if v[1] * panes // 6 == pane] for pane in range(panes)]
    else:
        cuts = [visits[pane::panes] for pane in range(panes)]
    come: list[tuple[str, int, str | None]] = []
    for pane, some in enumerate(cuts):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pasts_of_stream, "_USERS", 1)
            # As after a restart.
            built = pasts_of_stream.StreamPasts(
                SimpleNamespace(spec=spec, directory=root, past=None)
            )  # type: ignore[arg-type]
            names = zip(("user", "at", "what"), zip(*some, strict=True), strict=False)
            columns = pa.record_batch(
                {name: pa.array(map(_as_text, values), pa.string()) for name, values in names}
                or {name: pa.array([], pa.string()) for name in ("user", "at", "what")}
            )
            places = events.place_of(0, np.arange(len(some)))
            found = events.events_of(spec.features["past"], spec, columns, places)
            lists = built._lists("past", found).of(places, pa.list_(pa.string())).to_pylist()
            built._held.add(str(pane), {"past": found})
            built._held.add(str(pane), {"past": found})
        for (user, time, _), listed in zip(some, lists, strict=True):
            mine = [visit for visit in (*come, *some) if visit[0] == user and visit[2] is not None]
            earlier = sorted((when, str(what).encode()) for _, when, what in mine if when < time)
            wanted = [what.decode() for _, what in earlier]
            if time >= max((when for who, when, what in come if who == user and what), default=0):
                assert listed == wanted[-length:]
            else:
                assert not Counter(listed) - Counter(wanted)
        come += some


def _as_text(value: Any) -> str | None:
    return str(10**9 + value) if isinstance(value, int) else value


@settings(max_examples=10)
@given(rows=_ROWS, seed=st.integers(0, 99))
def test_nothing_hangs_on_the_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], seed: int
) -> None:
    rows = [{**row, "id": str(place)} for place, row in enumerate(rows)]
    shuffled = random.Random(seed).sample(rows, len(rows))
    spec = parse(DOCUMENT)
    found = [
        {order[number - 1]["id"]: lists for number, lists in built(order, spec, root).items()}
        for order in (rows, shuffled)
        for root in [tmp_path_factory.mktemp("order")]
    ]
    assert found[0] == found[1]


def test_one_user_of_many_rows_is_never_held_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, length = 60_000, 5
    monkeypatch.setattr(sorted_runs, "_BLOCK_ROWS", 1000)
    rng = np.random.default_rng(1)
    times = rng.integers(0, 50, rows)
    held = pa.table(
        {
            sorted_runs.KEY: np.zeros(rows, np.uint64),
            events.SECOND: np.zeros(rows, np.uint64),
            events.TIME: times,
            events.VALUE: pa.array([f"i{value}" for value in rng.integers(0, 999, rows)]),
            events.PLACE: np.arange(rows, dtype=np.uint64),
        }
    )
    runs = [
        run
        for part in range(6)
        for table in [ordered.in_order(held.slice(part * 10_000, 10_000))]
        for _, run in sorted_runs.write_runs(table, np.zeros(len(table), np.int64), str(tmp_path))
    ]
    sizes = []
    listed = past._listed

    def seen(table: pa.Table, most: int) -> Any:
        sizes.append(len(table))
        return listed(table, most)

    monkeypatch.setattr(past, "_listed", seen)
    found = {}
    after: list[pa.Table] = []
    for table in past.pasts(ordered.ordered(runs), length, after.append):
        found.update(
            zip(table[sorted_runs.KEY].to_pylist(), table[past.LISTS].to_pylist(), strict=True)
        )
    # A block of each run, and what is kept of the user.
    assert max(sizes) <= 6 * 1000 + 2 * length
    values = held[events.VALUE].to_pylist()
    # What is left of the user: what a row of the newest time sees, and of a later one.
    newest = [(times[at], values[at]) for at in range(rows)]
    seen_by = [sorted(one for one in newest if one[0] < until)[-length:] for until in (49, 50)]
    kept = pa.concat_tables(after)
    kept = list(zip(kept[events.TIME].to_pylist(), kept[events.VALUE].to_pylist(), strict=True))
    assert kept == [*seen_by[0], *seen_by[1]]
    for time in range(50):
        earlier = sorted((times[at], values[at]) for at in np.flatnonzero(times < time))
        wanted = [value for _, value in earlier[-length:]]
        for at in np.flatnonzero(times == time)[:20].tolist():
            assert found.get(at, []) == wanted


def test_whole_numbers_stay_numbers(tmp_path: Path) -> None:
    features = {"item": {"type": "categorical", "dtype": "int64"}, "past": HISTORY}
    spec = parse({"name": "n", "features": features, "key": "id"})
    rows = [{"id": str(at), "user": 2**53 + 1, "at": at, "item": 2**53 + at % 3} for at in range(5)]
    lists = built(rows, spec, tmp_path)
    assert lists[5] == [2**53 + 1, 2**53 + 2, 2**53] and lists[1] == []


def test_several_histories_of_one_spec(tmp_path: Path) -> None:
    other = {**HISTORY, "by": "shop", "length": 1}
    features = {**DOCUMENT["features"], "past": {**HISTORY}, "in_shop": other}
    spec = parse({**DOCUMENT, "features": features})
    rows = [
        {"id": str(at), "user": "uv"[at % 2], "shop": "s", "at": at, "what": f"i{at}", "price": 1}
        for at in range(5)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    units = plan([f"{tmp_path}/rows.jsonl"], spec)
    [unit] = with_past(spec, units, {}, tmp_path / "runs", 1)
    [batch] = rows_of(unit, spec)
    assert batch.columns.column("past").to_pylist() == [[], [], ["i0"], ["i1"], ["i0", "i2"]]
    assert batch.columns.column("in_shop").to_pylist() == [[], ["i0"], ["i1"], ["i2"], ["i3"]]


def test_a_column_of_its_name_is_refused_and_one_to_predict_from_wanted(tmp_path: Path) -> None:
    columns = {"id": ["1"], "user": ["u"], "at": [1], "what": ["x"], "price": [1.0]}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    pq.write_table(pa.table({**columns, "past": [["y"]]}), tmp_path / "more.parquet")
    with pytest.raises(DataError, match=r"'past' is there, and .* rename the feature"):
        plan([f"{tmp_path}/more.parquet"], parse(DOCUMENT))
    with pytest.raises(DataError, match=r"no column 'past' \(the row's past values of item"):
        plan([f"{tmp_path}/rows.parquet"], parse(DOCUMENT), serving=True)
    [unit] = plan([f"{tmp_path}/more.parquet"], parse(DOCUMENT), serving=True)
    [batch] = rows_of(unit, parse(DOCUMENT))
    assert batch.columns.column("past").to_pylist() == [["y"]]
    assert "at" not in batch.columns.schema.names


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"past": {**HISTORY, "of": "itme"}},
            "past.of: expected a categorical .*did you mean 'item'",
        ),
        ({"past": {**HISTORY, "of": "price"}}, "past.of: expected a categorical feature"),
        ({"past": {**HISTORY, "time": "price"}}, "past.time: .* make a timestamp"),
        ({"past": {**HISTORY, "by": "price"}}, "past.by: .* make that feature categorical"),
        ({"past": {**HISTORY, "by": "past"}}, "past.by: 'past' is itself a history"),
        ({"what": HISTORY}, "features.what: column 'what' is named elsewhere .* rename"),
        ({"past": {**HISTORY, "length": 0}}, "past.length"),
        ({"past": {"type": "history", "of": "item"}}, "past.by"),
    ],
)
def test_what_cannot_be_built_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse({**DOCUMENT, "features": {**DOCUMENT["features"], **changes}})


def test_ids_are_those_of_what_is_gathered() -> None:
    item = {"type": "categorical", "oov_buckets": 3}
    spec = parse({**DOCUMENT, "features": {**DOCUMENT["features"], "item": item}})
    history = spec.features["past"]
    assert history.own_vocabulary is not None and history.own_vocabulary.shared_with == "item"
    assert (history.unknown_ids, history.fixed_ids, history.kind) == (3, None, "string")
    hashed = {"type": "categorical", "dtype": "int64", "hash_buckets": 9}
    other = parse({**DOCUMENT, "features": {"item": hashed, "past": history}}).features["past"]
    assert (other.own_vocabulary, other.fixed_ids, other.kind) == (None, 9, "int64")
    # The same object in two specs: each has its own.
    assert history.fixed_ids is None
    assert parse(json.loads(spec.model_dump_json())) == spec


def walks(users: int = 40, steps: int = 12) -> list[Row]:
    """Users who go from one of 30 items to the next: only the past tells what follows."""
    rng = random.Random(4)
    rows = [
        {"id": f"{user}-{step}", "user": f"u{user}", "at": 1_700_000_000 + 1000 * step + user,
         "what": f"i{(user * 7 + step) % 30}", "price": 1.0}
        for user in range(users) for step in range(steps)
    ]  # fmt: skip
    return rng.sample(rows, len(rows))


WALKS: dict[str, Any] = {
    **DOCUMENT,
    "features": {
        "item": {"type": "categorical", "column": "what", "embedding": 8},
        "past": {**HISTORY, "embedding": 8, "encoder": "gru"},
    },
    "split": {"time": "at", "train": 0.7, "eval": 0.15, "test": 0.15},
    "model": {"type": "two_tower", "query": ["past"], "candidate": ["item"], "width": 16,
              "temperature": 0.1, "cutoffs": [5]},
    "training": {"batch_size": 32, "epochs": 6, "learning_rate": 0.02},
}  # fmt: skip


def lists_of(directory: Path) -> dict[str, list[str]]:
    """Returns by key the list of each raw row that is kept."""
    return {
        row[KEY]: row["past"]
        for path in sorted((directory / "raw").rglob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    }


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows in three files, and their records."""
    root = tmp_path_factory.mktemp("walks")
    rows = walks()
    for place in range(3):
        lines = "".join(json.dumps(row) + "\n" for row in rows[place::3])
        (root / f"rows{place}.jsonl").write_text(lines, encoding="utf-8")
    preprocess(
        parse(WALKS), [f"{root}/*.jsonl"], root / "records", options=["--direct_num_workers=2"]
    )
    return root


def test_what_a_history_holds_is_not_to_be_found_again() -> None:
    shop = {"shop": {"type": "categorical"}}
    model = {**WALKS["model"], "candidate": ["item", "shop"]}
    spec = parse({**WALKS, "features": {**WALKS["features"], **shop}, "model": model})

    def rows(**features: list[Any]) -> DistinctRows:
        held = {name: np.array(values, np.int64) for name, values in features.items()}
        count = np.arange(len(next(iter(held.values()))))
        return DistinctRows(held, count, count)

    # 0 to 2: padding, missing, out of vocabulary. Candidate 3 is that of 0 in another shop.
    queries = rows(past=[[3, 5, 0], [0, 0, 0], [2, 1, 4], [3, 3, 9]])
    candidates = rows(item=[3, 4, 2, 3, 5], shop=[3, 3, 3, 4, 3])
    asked, met = met_before(spec, queries, candidates)
    pairs = list(zip(asked.tolist(), met.tolist(), strict=True))
    assert pairs == [(0, 0), (0, 3), (0, 4), (2, 1), (3, 0), (3, 3)]


def test_the_job_keeps_what_each_row_had_done_before(walked: Path) -> None:
    found = lists_of(walked / "records")
    assert len(found) > 150
    for key, past_values in found.items():
        user, step = map(int, key.split("-"))
        assert past_values == [f"i{(user * 7 + s) % 30}" for s in range(max(0, step - 3), step)]
    document = json.loads((walked / "records" / STATISTICS).read_text("utf-8"))
    assert document["features"]["past"]["oov_share"] == 0
    # Values are counted once, where they are, and not in the lists of the rows after them.
    vocabulary = {
        name: declared.members for name, declared in counted_vocabularies(parse(WALKS)).items()
    }
    assert vocabulary == {"item": ("item",)}


def test_a_split_that_mixes_pasts_is_told(caplog: pytest.LogCaptureFixture) -> None:
    some = {"train": SplitStatistics(), "eval": SplitStatistics()}
    for split, told in (({"by": "user"}, 0), ({"time": "at"}, 0), ({"by": "what"}, 1), ({}, 1)):
        caplog.clear()
        tell_leaks(parse({**WALKS, "split": split}), some)
        assert len([entry for entry in caplog.messages if "features.past" in entry]) == told


@pytest.mark.slow
def test_the_road_to_what_comes_next(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records, run, served = (str(walked / name) for name in ("records", "run", "served"))
    assert main(["train", records, "--output", run]) == 0
    metrics = json.loads((walked / "run" / "metrics.json").read_text("utf-8"))
    assert metrics["eval"]["ndcg@5"] > 0.8
    assert main(["export", run, "--output", served]) == 0
    assert main(["verify", served, "--records", records, "--input", f"{walked}/*.jsonl"]) == 0
    assert "parity holds: 480 rows" in capsys.readouterr().out
    signature = tf.saved_model.load(served).signatures["recommend"]
    past_items, nothing = tf.constant([["i4", "i5", "i6", "i7"]]), tf.constant([[""]])
    found = signature(past=past_items, exclude=nothing)["candidates"].numpy()
    assert b"i8" in found[0, :3]
    # What it rests on, value by value; of lists as long as the spec's.
    told = recommend(ServedModel.open(served), {"past": ["i4", "i5", "i6", "i7"]})
    assert [candidate.name.encode() for candidate in told.candidates] == found[0].tolist()
    assert main(["inspect", served, "--row", '{"past": ["i6", "i7"]}']) == 0
    assert main(["report", run, "-o", f"{run}.html"]) == 0


def streamed(walked: Path, source: Path, output: Path, **more: Any) -> Counter[bytes]:
    """Streams all files there are, in windows of a day; returns the records."""
    stream(
        parse(WALKS),
        f"dir://{source}/*.jsonl",
        walked / "records" / TRANSFORM,
        output,
        Windowing(size=1000 * SECOND, column="at"),
        until_idle=0,
        **more,
    )
    return records_in(output)


@pytest.mark.slow
def test_a_stream_builds_what_the_batch_job_does_and_is_killed_meanwhile(
    walked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = walks()
    batch: Counter[bytes] = sum(records_of(walked / "records").values(), Counter())
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    # Rows of one round are in no order; rounds are in order of time.
    rows.sort(key=lambda row: row["at"] >= 1_700_006_000)
    for name, some in (("a", rows[:200]), ("b", rows[200:])):
        lines = "".join(json.dumps(row) + "\n" for row in some)
        (source / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    committed, done = local_stream.commit_pane, 0

    def killed(job: Any, pane: Any) -> str:
        nonlocal done
        done += 1
        if done == 3:
            raise KeyboardInterrupt
        folder = committed(job, pane)
        if done == 2:
            raise KeyboardInterrupt
        return folder

    # First when a pane is in its place and not yet in what is held, then before it is in its place.
    monkeypatch.setattr(local_stream, "commit_pane", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            streamed(walked, source, output)
    monkeypatch.undo()
    assert streamed(walked, source, output) == batch
    # What is held is made anew from the panes, and a row that comes late sees what was before it.
    (output / pasts_of_stream.HELD).unlink()
    late = {"id": "late", "user": "u3", "at": 1_700_010_999, "what": "i1", "price": 1.0}
    own = {**late, "id": "own", "past": ["i5", "i6"]}
    none = {**late, "id": "none", "user": None}
    lines = "".join(json.dumps(row) + "\n" for row in (late, own, none))
    (source / "late.jsonl").write_text(lines, encoding="utf-8")
    ids: dict[str, tuple[int, list[int]]] = {}
    for record in streamed(walked, source, output):
        held = tf.train.Example.FromString(record).features.feature
        ids[held[KEY].bytes_list.value[0].decode()] = (
            held["item"].int64_list.value[0],
            list(held["past"].int64_list.value),
        )
    assert len(ids) == len(batch) + 3
    # Between its user's eleventh and twelfth row, so it sees what the twelfth saw.
    assert ids["late"][1] == ids["3-11"][1] != [0, 0, 0]
    tokens = {row["what"]: ids[row["id"]][0] for row in walks() if row["id"] in ids}
    assert ids["own"][1] == [tokens["i5"], tokens["i6"], 0]
    assert ids["none"][1] == [0, 0, 0]


@pytest.fixture(scope="module")
def halves(walked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The older half of the rows, their records by the transform of all, and the newer half."""
    root = tmp_path_factory.mktemp("halves")
    rows = sorted(walks(), key=lambda row: row["at"])
    for name, some in (("old", rows[:250]), ("new", rows[250:])):
        (root / name).mkdir()
        lines = "".join(json.dumps(row) + "\n" for row in some)
        (root / name / "rows.jsonl").write_text(lines, encoding="utf-8")
    preprocess(
        parse(WALKS),
        [f"{root}/old/*.jsonl"],
        root / "records",
        transform=walked / "records" / TRANSFORM,
    )
    return root


def left_in(records: Path) -> list[tuple[Any, ...]]:
    """Returns each event that a batch left of its users."""
    found = left.open_pasts(parse(WALKS), records / "pasts", "P")
    tables = [table for name in found.files() for _, table in found.events(name)]
    return sorted(tuple(row.values()) for table in tables for row in table.to_pylist())


def test_a_batch_goes_on_from_the_pasts_of_another(
    walked: Path, halves: Path, tmp_path: Path
) -> None:
    every: Counter[bytes] = sum(records_of(walked / "records").values(), Counter())
    old: Counter[bytes] = sum(records_of(halves / "records").values(), Counter())
    transform, past = walked / "records" / TRANSFORM, halves / "records" / "pasts"
    new, inputs = tmp_path / "new", [f"{halves}/new/*.jsonl"]
    preprocess(parse(WALKS), inputs, new, transform=transform, histories_from=past)
    assert sum(records_of(new).values(), Counter()) == every - old
    none = preprocess(parse(WALKS), inputs, tmp_path / "none", transform=transform)
    assert none.rows.written == 230
    assert sum(records_of(tmp_path / "none").values(), Counter()) != every - old
    # What it leaves in turn is of all rows.
    assert left_in(new) == left_in(walked / "records")
    told = ["verify", "served", "--records", str(new), "--histories-from", str(past)]
    assert main(told) == 2
    lists = [
        dict(zip(found.keys.to_pylist(), found.columns["past"].to_pylist(), strict=True))
        for found in rows_of_input(new, inputs, past)()
    ]
    kept = lists_of(new)
    assert kept.items() <= {key: value for part in lists for key, value in part.items()}.items()


@pytest.mark.slow
def test_a_stream_goes_on_from_the_pasts_of_a_batch(
    walked: Path, halves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every: Counter[bytes] = sum(records_of(walked / "records").values(), Counter())
    old: Counter[bytes] = sum(records_of(halves / "records").values(), Counter())
    assert old < every
    past = halves / "records" / "pasts"
    monkeypatch.setattr(left, "_TOGETHER", 7)
    output = tmp_path / "out"
    assert streamed(walked, halves / "new", output, histories_from=past) == every - old
    assert streamed(walked, halves / "new", tmp_path / "none") != every - old
    # Begun anew from the panes it takes them again, and no others, nor none.
    (output / pasts_of_stream.HELD).unlink()
    for other in (None, walked / "records" / "pasts"):
        with pytest.raises(UsageError, match="begin with other pasts than --histories-from says"):
            streamed(walked, halves / "new", output, histories_from=other)
    streamed(walked, halves / "new", output, histories_from=past)
    with pytest.raises(UsageError, match="begin with other pasts"):
        streamed(walked, halves / "new", tmp_path / "none", histories_from=past)
    # What is held says what it began with.
    assert streamed(walked, halves / "new", output) == every - old


def test_pasts_that_cannot_be_gone_on_with_are_refused(walked: Path, tmp_path: Path) -> None:
    past = walked / "records" / "pasts"
    opened = left.open_pasts(parse(WALKS), past, "--histories-from P")
    whole = [len(events) for name in opened.files() for _, events in opened.events(name)]
    assert sum(whole) == 40 * 4  # The newest, and the three before it.
    other = {**WALKS["features"], "past": {**HISTORY, "length": 4}}
    with pytest.raises(DatasetMismatchError, match="has no history 'past' of the same feature"):
        left.open_pasts(parse({**WALKS, "features": other}), past, "--histories-from P")
    none = {name: value for name, value in DOCUMENT["features"].items() if name != "past"}
    with pytest.raises(UsageError, match="the spec has no history; leave it out"):
        left.open_pasts(parse({**DOCUMENT, "features": none}), past, "--histories-from P")
    with pytest.raises(UsageError, match="expected the pasts/ folder"):
        left.open_pasts(parse(WALKS), tmp_path, "--histories-from P")
    [name] = opened.files()
    content = (past / name).read_bytes()
    shutil.copytree(walked / "records" / "transform", tmp_path / "records" / "transform")
    for file in ("manifest.json", "spec.yaml"):
        shutil.copy(walked / "records" / file, tmp_path / "records" / file)
    copy = tmp_path / "records" / "pasts"
    copy.mkdir()
    # At the end of a section, within one, and another byte.
    tail = len(content) - len(b'{"events":160}') - 40
    for broken in (content[:tail], content[:-3], content[:200] + b"x" + content[201:]):
        (copy / name).write_bytes(broken)
        with pytest.raises(DataError, match=r"is cut off.*; preprocess again"):
            list(left.open_pasts(parse(WALKS), copy, "").events(name))
    (copy / name).rename(copy / name.replace("of-00001", "of-00002"))
    with pytest.raises(
        DataError, match=r"pasts: lacks files beside part-00000-of-00002.pasts; pre"
    ):
        left.open_pasts(parse(WALKS), copy, "")
    (copy / name.replace("of-00001", "of-00002")).unlink()
    with pytest.raises(DataError, match="pasts: holds no files; preprocess again"):
        left.open_pasts(parse(WALKS), copy, "")


@pytest.mark.slow
def test_a_stream_takes_the_lists_that_were_served(walked: Path, tmp_path: Path) -> None:
    spec, lists = parse(WALKS), lists_of(walked / "records")
    rows = [{**row, "past": lists[row["id"]]} for row in walks() if row["id"] in lists]
    for row in rows:  # Some rows are not kept raw: of those before this one all are.
        user, step = map(int, row["id"].split("-"))
        if step > 3 and all(f"{user}-{step - back}" in lists for back in (1, 2, 3)):
            del row["past"]
            break
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "in.jsonl").write_text(lines, encoding="utf-8")
    stream(
        spec,
        f"dir://{tmp_path}/*.jsonl",
        walked / "records" / TRANSFORM,
        tmp_path / "out",
        Windowing(size=10**6 * SECOND, delay=0),
        until_idle=0,
    )
    batch: Counter[bytes] = sum(records_of(walked / "records").values(), Counter())
    found = records_in(tmp_path / "out")
    assert sum(found.values()) == len(rows) and found <= batch


def test_on_a_cluster_a_row_without_its_list_is_rejected() -> None:
    spec = parse(WALKS)
    job = SimpleNamespace(spec=spec, lists="held", windowing=Windowing(size=SECOND))
    row = {"id": "1", "what": "i1", "price": 1.0}
    messages = [
        Message(json.dumps(held).encode(), "topic/0", number)
        for number, held in enumerate([row, {**row, "id": "2", "past": []}])
    ]
    batch = parse_messages(messages, job, "json")  # type: ignore[arg-type]
    rows = check_rows(batch, spec, lists="held")
    assert rows.numbers.tolist() == [1]
    [entry] = rows.rejected
    assert entry.column == "past" and "as it was served" in entry.reason
