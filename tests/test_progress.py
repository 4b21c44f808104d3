"""A long stage says how far it has come, a short one is silent."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from skewless.beam_pipelines.running.job_progress import Progress, Tally, Watch, progress_of
from skewless.beam_pipelines.sources import WorkUnit
from skewless.schemas.progress import Status, duration, seconds_left


def test_lines_come_at_intervals_with_the_rate_so_far(caplog: pytest.LogCaptureFixture) -> None:
    ticks = iter([100.0, 101.0, 109.0, 110.0, 111.0, 119.0, 120.0])
    progress = Progress("writing", every=10, clock=lambda: next(ticks))
    with caplog.at_level(logging.INFO):
        for _ in range(6):
            progress.advance(1_000)
    assert caplog.messages == [
        "writing: 3,000 rows, 300 rows/s",
        "writing: 6,000 rows, 300 rows/s",
    ]


def units(tmp_path: Path) -> list[WorkUnit]:
    """Three units: two halves of a file, and a file as large as one of them."""
    (tmp_path / "large.csv").write_bytes(b"x" * 2000)
    (tmp_path / "small.csv").write_bytes(b"x" * 1000)
    large, small = str(tmp_path / "large.csv"), str(tmp_path / "small.csv")
    return [WorkUnit(large, "csv", order=0), WorkUnit(large, "csv", order=1), WorkUnit(small, "csv", order=2)]  # fmt: skip


def test_workers_are_added_up_and_the_share_comes_from_bytes(tmp_path: Path) -> None:
    tally = Tally(str(tmp_path / "tally"))
    first, second, third = units(tmp_path)
    watch = Watch(tally, [first, second, third], ["analysing", "writing"])
    assert watch.status(0.0) is None
    ticks = iter(range(100))
    one = Progress("analysing", tally, clock=lambda: float(next(ticks)))
    one.advance(50)
    begun = watch.status(5.0)
    assert begun is not None
    assert (begun.stage, begun.rows, begun.share) == ("analysing (1 of 2)", 50, None)
    assert "left" not in str(begun)
    other = Progress("analysing", tally, clock=lambda: float(next(ticks)))
    other.advance(100)
    other.finish(third, 100)
    later = watch.status(10.0)
    # A third of the bytes held 100 rows, so 150 rows are half of them.
    assert later == Status("analysing (1 of 2)", 150, 15.0, 0.5, 10.0)
    writing = Progress("writing", tally, clock=lambda: float(next(ticks)))
    writing.advance(10)
    after = watch.status(20.0)
    assert after is not None
    assert (after.stage, after.rows) == ("writing (2 of 2)", 10)


def test_a_retried_unit_is_no_more_than_the_whole(tmp_path: Path) -> None:
    tally = Tally(str(tmp_path / "tally"))
    first, second, third = units(tmp_path)
    watch = Watch(tally, [first, second, third], ["writing"])
    progress = progress_of("writing", tally)
    assert progress_of("writing", tally) is progress
    for unit in (first, second, third, third):
        progress.advance(100)
        progress.finish(unit, 100)
    status = watch.status(1e12)
    assert status is not None
    assert (status.stage, status.share, status.seconds_left) == ("writing", 1.0, 0.0)


def test_a_watch_logs_while_work_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skewless.schemas.progress._PLAIN_SECONDS", 0.0)
    tally = Tally(str(tmp_path / "tally"))
    unit = units(tmp_path)[2]
    with caplog.at_level(logging.INFO), Watch(tally, [unit], ["predicting"]) as watch:
        progress = Progress("predicting", tally)
        progress.advance(7)
        progress.finish(unit, 7)
        while not caplog.messages:
            watch._ended.wait(0.05)
    assert caplog.messages[0].startswith("predicting: 7 rows, ")
    # Begun a moment ago: no time left is told yet.
    assert caplog.messages[0].endswith("100%")


@pytest.mark.parametrize(
    ("seconds", "share", "left"),
    [(60.0, 0.25, 180.0), (60.0, None, None), (2.0, 0.5, None), (60.0, 0.001, None)],
)
def test_a_time_left_is_told_once_it_means_something(
    seconds: float, share: float | None, left: float | None
) -> None:
    assert seconds_left(seconds, share) == left


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (59.4, "59 s"), (80, "1 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_told_as_a_person_reads_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told
