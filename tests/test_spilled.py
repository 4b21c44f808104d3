"""Values that are counted by way of files come to the vocabularies that a plain counter gives."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.analysis import counts, duplicates
from skewless.beam_pipelines.analysis.chosen import chosen_constants, offered
from skewless.beam_pipelines.analysis.spilled import merged, ranked, runs, values
from skewless.beam_pipelines.analysis.spilled.ranked import Ranking, Wanted, best_first
from skewless.beam_pipelines.analysis.spilled.runs import KEY, Run, read_blocks, write_runs
from skewless.beam_pipelines.analysis.spilled.values import ValueRuns, counted_table
from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.rows import pieces
from skewless.schemas import parse
from tests.conftest import DataSet
from tests.test_analysis_cache import by_partition
from tests.test_grow import constants_of
from tests.test_preprocess import records_of

_TOKENS = st.one_of(
    st.sampled_from([b"a", b"b", b"\x7f", b"\x80", b"\xff", b"ab", "東".encode()]),
    st.binary(min_size=1, max_size=3).filter(lambda token: b"\n" not in token),
)
_WORKERS = st.lists(
    st.fixed_dictionaries(
        {place: st.dictionaries(_TOKENS, st.integers(1, 3), max_size=12) for place in (0, 1)}
    ),
    max_size=5,
)


@contextlib.contextmanager
def tiny() -> Iterator[pytest.MonkeyPatch]:
    """Everything is too much to hold, so that few values take every road that many take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_BLOCK_ROWS", 2)
        patch.setattr(merged, "_MOST_OPEN", 2)
        patch.setattr(ranked, "_MOST_HELD", 3)
        patch.setattr(ranked, "_LARGEST_HELD", 8)
        yield patch


def _few_hashes(tokens: pa.Array) -> np.ndarray:
    """Hashes that often agree although the tokens differ."""
    return np.array([sum(token) % 3 for token in tokens.to_pylist()], np.uint64) << np.uint64(62)


@settings(max_examples=100)
@given(
    workers=_WORKERS,
    partitions=st.integers(1, 3),
    most=st.one_of(st.none(), st.integers(1, 6)),
    min_count=st.integers(1, 4),
    hashes=st.sampled_from([values.fingerprint, _few_hashes]),
)
def test_vocabularies_are_those_of_a_plain_counter(
    tmp_path_factory: pytest.TempPathFactory,
    workers: list[dict[int, dict[bytes, int]]],
    partitions: int,
    most: int | None,
    min_count: int,
    hashes: Callable[[pa.Array], np.ndarray],
) -> None:
    root = tmp_path_factory.mktemp("values")
    vocabulary = {"max_size": most, "min_count": min_count}
    features = {
        "one": {"type": "categorical", "vocabulary": vocabulary},
        "other": {"type": "categorical"},
    }
    spec = parse({"name": "tokens", "key": "id", "features": features})
    totals: dict[int, Counter[bytes]] = {0: Counter(), 1: Counter()}
    found: list[tuple[int, Run]] = []
    with tiny() as patch:
        patch.setattr(values, "fingerprint", hashes)
        for counted in workers:
            writer = ValueRuns(str(root / "runs"), partitions)
            found += [*writer.add(counted_table(counted.items())), *writer.flush()]
            for place, tokens in counted.items():
                totals[place].update(tokens)
        offers = [
            offer
            for part in by_partition(found).values()
            for offer in offered(part, spec, str(root / "ranked"))
        ]
        constants = chosen_constants({}, offers, spec, str(root / "vocabularies"))
    for place, name in enumerate(features):
        least, size = (min_count, most) if name == "one" else (1, None)
        best = sorted(((n, t) for t, n in totals[place].items() if n >= least), reverse=True)
        expected = [token for _, token in best][:size] or [b"\x1f(no entries)\x1f"]
        written = Path(constants.vocabularies[name]).read_bytes()
        assert written == b"".join(token + b"\n" for token in expected)


@settings(max_examples=100)
@given(
    counts=st.dictionaries(_TOKENS, st.integers(1, 2), min_size=12, max_size=40),
    most=st.integers(0, 6),
    size=st.integers(1, 5),
)
def test_what_is_forgotten_had_no_chance(
    tmp_path_factory: pytest.TempPathFactory, counts: dict[bytes, int], most: int, size: int
) -> None:
    root = tmp_path_factory.mktemp("ranked")
    table = counted_table([(0, counts)]).drop_columns("owner")
    with tiny():
        ranking = Ranking(Wanted(most), str(root))
        for begin in range(0, len(table), size):
            ranking.add(table.slice(begin, size))
        offer = ranking.close(0)
        found = [token for token, _ in itertools.islice(best_first([offer]), most)]
    best = sorted(((count, token) for token, count in counts.items()), reverse=True)
    assert found == [token for _, token in best[:most]]
    assert offer.wanted == len(counts)


@settings(max_examples=50)
@given(parts=st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=12), max_size=7))
def test_rows_of_one_key_come_in_one_table_of_rising_keys(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[int]]
) -> None:
    root = tmp_path_factory.mktemp("runs")
    written = []
    with tiny():
        for part in parts:
            table = pa.table({KEY: pa.array(part, pa.uint64()), "place": range(len(part))})
            [(_, run)] = write_runs(table, np.zeros(len(part), np.int64), str(root))
            found = [key for block in read_blocks(run) for key in block[KEY].to_pylist()]
            assert found == sorted(part)
            written.append(run)
        files = set(root.iterdir())
        tables = [table[KEY].to_pylist() for table in merged.merged(written, lambda table: table)]
    assert [key for keys in tables for key in keys] == sorted(itertools.chain(*parts))
    held = [key for keys in tables for key in set(keys)]
    assert len(held) == len(set(held))
    # What was merged in between is gone.
    assert set(root.iterdir()) == files


def test_a_merge_holds_a_few_blocks_of_each_run(tmp_path: Path) -> None:
    tables = []
    for part in range(8):
        keys = random.Random(part).sample(range(1 << 60), 100_000)
        table = pa.table({KEY: pa.array(keys, pa.uint64())})
        tables += list(write_runs(table, np.zeros(len(table), np.int64), str(tmp_path)))
    before, most = pa.total_allocated_bytes(), 0
    rows = 0
    for table in merged.merged([run for _, run in tables], lambda table: table):
        rows += len(table)
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 800_000
    # All of it would be 6.4 MB; two blocks of 8,192 keys a run, twice while they are sorted, are 2.
    assert most < 3_000_000


@pytest.mark.slow
def test_a_job_that_holds_little_leaves_the_same(
    shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_MOST_PIECES", 10)
    monkeypatch.setattr(counts, "_MOST_VALUES", 30)
    monkeypatch.setattr(values, "_MOST_VALUES", 30)
    monkeypatch.setattr(duplicates, "_MOST_KEYS", 10)
    written = []

    def noted(table: pa.Table, partitions: np.ndarray, directory: str) -> Iterator[tuple[int, Run]]:
        written.append(directory)
        return write_runs(table, partitions, directory)

    monkeypatch.setattr(values, "write_runs", noted)
    monkeypatch.setattr(duplicates, "write_runs", noted)
    header, *lines = shop.source.read_text(encoding="utf-8").splitlines(keepends=True)
    for place in range(4):
        piece = lines[place * len(lines) // 4 : (place + 1) * len(lines) // 4]
        (tmp_path / f"{place}.csv").write_text(header + "".join(piece), encoding="utf-8")
    options = ["--direct_num_workers=1"]
    preprocess(shop.spec, [f"{tmp_path}/*.csv"], tmp_path / "out", options=options)
    runs_in = Counter(Path(directory).name for directory in written)
    assert runs_in["keys"] > 2
    assert runs_in["values"] > 2
    assert constants_of(tmp_path / "out") == constants_of(shop.directory)
    assert records_of(tmp_path / "out") == records_of(shop.directory)
    # Nothing of what was spilled is left.
    assert not [
        path for path in tmp_path.rglob("*") if path.name in ("keys", "values", "temporary")
    ]
