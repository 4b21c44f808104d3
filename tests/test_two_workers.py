"""Local workers side by side: no row and no element is lost, however often it is tried.

Beam's own flush by time drops what is written while it runs (`skewless.beam_pipelines.running.local_runner`).
Elements that are large, many and slowly made meet it in every run, so the plain pipeline here
is the sharper test; the job itself sends few elements, and checks its own accounts besides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DirectOptions

from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.running.local_runner import pipeline_options
from skewless.schemas.records.manifest import load_manifest
from tests.conftest import DataSet
from tests.test_preprocess import records_of

ELEMENTS, REPEATS = 200, 20


def _options(mode: str) -> list[str]:
    return ["--direct_num_workers=2", f"--direct_running_mode={mode}"]


def _large_elements(number: int) -> Iterator[tuple[int, bytes]]:
    for part in range(REPEATS):
        yield number * REPEATS + part, bytes(20_000)
        time.sleep(0.0005)


def _arrived(mode: str, output: Path) -> int:
    with beam.Pipeline(options=pipeline_options(_options(mode))) as pipeline:
        _ = (
            pipeline
            | beam.Create(range(ELEMENTS))
            | beam.Reshuffle()
            | beam.FlatMap(_large_elements)
            | beam.GroupByKey()
            | beam.combiners.Count.Globally()
            | beam.Map(lambda count, path: Path(path).write_text(str(count)), str(output))
        )
    return int(output.read_text())


# Processes take ten seconds a run to start and stop; they share the threads' channel.
@pytest.mark.slow
@pytest.mark.parametrize(("mode", "times"), [("multi_threading", 4), ("multi_processing", 1)])
def test_no_element_of_a_plain_pipeline_is_lost(mode: str, times: int, tmp_path: Path) -> None:
    arrived = [_arrived(mode, tmp_path / "count") for _ in range(times)]
    assert arrived == [ELEMENTS * REPEATS] * times


@pytest.fixture(scope="module")
def pieces(shop: DataSet, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns a glob of the shop's rows in twelve files, so that both workers have some."""
    directory = tmp_path_factory.mktemp("pieces")
    header, *rows = shop.source.read_text().splitlines()
    for part in range(12):
        (directory / f"{part:02}.csv").write_text("\n".join([header, *rows[part::12]]) + "\n")
    return str(directory / "*.csv")


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "times"), [("multi_threading", 2), ("multi_processing", 1)])
def test_no_row_of_the_job_is_lost(
    mode: str, times: int, shop: DataSet, pieces: str, tmp_path: Path
) -> None:
    expected = records_of(shop.directory)
    for _ in range(times):
        manifest = preprocess(
            shop.spec, [pieces], tmp_path / "out", options=_options(mode), overwrite=True
        )
        assert manifest.rows.read == manifest.rows.written == 400
        assert records_of(tmp_path / "out") == expected
        assert manifest.transform_sha256 == load_manifest(shop.directory).transform_sha256


def test_workers_are_chosen_by_the_work_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(arguments: list[str], units: int, *, brief: bool = False) -> tuple[str, int]:
        options = pipeline_options(arguments, units=units, brief=brief)
        direct = options.view_as(DirectOptions)
        return direct.direct_running_mode, direct.direct_num_workers

    assert chosen([], units=1) == ("in_memory", 1)
    assert chosen([], units=10) == ("multi_threading", os.cpu_count())
    assert chosen([], units=1000) == ("multi_processing", os.cpu_count())
    assert chosen(["--direct_num_workers=1"], units=1000) == ("in_memory", 1)
    assert chosen(["--direct_num_workers=3"], units=1) == ("multi_processing", 3)
    assert chosen(_options("multi_threading"), units=1000) == ("multi_threading", 2)
    # Where workers can be forked few units are worth processes, unless there is little in each.
    monkeypatch.setattr(
        "skewless.beam_pipelines.running.local_runner.fork_server", lambda: object()
    )
    assert chosen([], units=1) == ("in_memory", 1)
    assert chosen([], units=2) == ("multi_processing", os.cpu_count())
    assert chosen([], units=2, brief=True) == ("in_memory", 1)
    assert chosen([], units=10, brief=True) == ("multi_threading", os.cpu_count())
