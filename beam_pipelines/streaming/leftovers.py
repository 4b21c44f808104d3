"""Left over: pending files of attempts that failed, which nobody will name.

Every row is in one pane of the window that its time says, however often it is read. So a pending
segment or pane whose rows are all in finished panes of its window is a failed attempt's; one that a
running attempt is to name holds rows that no finished pane has. Rows that have no number in their
source cannot be told apart, and what holds such rows is left.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from skewless.beam_pipelines.streaming.segment_file import (
    PENDING,
    pending_segments,
    read_segment,
)
from skewless.schemas.errors import DataError
from skewless.schemas.records.layout import MANIFEST
from skewless.schemas.records.windows import pane_folder
from skewless.schemas.storage.between.files import forget, inside
from skewless.schemas.storage.between.panes import brought_here, committed, named
from skewless.schemas.storage.location import is_uri

__all__ = ["SOURCES", "in_ranges", "pending_panes", "ranges_of", "remove_leftovers"]

SOURCES = "sources.json"
Ranges = Mapping[str, Sequence[Sequence[int]]]
# What cannot be read is being written, or was when its writer was killed. Writing takes seconds.
_ABANDONED_SECONDS = 3600.0


def ranges_of(numbers: np.ndarray) -> list[list[int]]:
    """Returns record numbers, at least one, as closed ranges."""
    numbers = np.sort(numbers)
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    firsts = numbers[np.concatenate([[0], breaks + 1])]
    lasts = numbers[np.concatenate([breaks, [len(numbers) - 1]])]
    return np.stack([firsts, lasts], axis=1).tolist()


def in_ranges(numbers: np.ndarray, ranges: Iterable[Sequence[int]]) -> np.ndarray:
    """Returns [numbers] bool, those that lie in closed ranges, which are sorted and apart."""
    edges = np.array(list(ranges), np.int64).reshape(-1, 2)
    if not len(edges):
        return np.zeros(len(numbers), bool)
    place = np.searchsorted(edges[:, 0], numbers, side="right") - 1
    return (place >= 0) & (numbers <= edges[place, 1])


def pending_panes(directory: str | Path) -> Path:
    """Returns the folder of sealed panes, whose names begin with their window's start and `-`."""
    return Path(directory) / PENDING / "panes"


def remove_leftovers(directory: str | Path, window: int | None = None) -> None:
    """Removes what failed attempts left, of one window or of all; nothing of a running one.

    Args:
      directory: The directory of windows, or its URI where workers share that alone.
      window: The window's start.
    """
    if is_uri(directory):
        _remove_segments(str(directory), window)
        return
    pattern = "*-*" if window is None else f"{window}-*"
    found: dict[int, list[Path]] = {}
    for folder in (pending_segments(directory), pending_panes(directory)):
        for path in folder.glob(pattern):
            found.setdefault(int(path.name.partition("-")[0]), []).append(path)
    for start, paths in found.items():
        finished = _finished(Path(directory), start)
        for path in paths if finished else ():
            if _is_left(path, finished):
                _remove(path)


def _remove_segments(uri: str, window: int | None) -> None:
    """Removes segments in a bucket whose rows finished panes hold."""
    found: dict[int, list[str]] = {}
    for file in named(inside(uri, PENDING, "segments"), "" if window is None else f"{window}-"):
        found.setdefault(int(file.rpartition("/")[2].partition("-")[0]), []).append(file)
    for start, files in found.items():
        finished = _finished_in_bucket(uri, start)
        for file in files if finished else ():
            with contextlib.suppress(FileNotFoundError):  # Another one was first.
                contents = read_segment(file)
                if in_ranges(contents.numbers, finished.get(contents.file, ())).all():
                    forget(file)


def _finished_in_bucket(uri: str, window: int) -> dict[str, list[list[int]]]:
    """Returns the rows in finished panes of a window."""
    rows: dict[str, list[list[int]]] = {}
    start, number = datetime.fromtimestamp(window / 1e6, timezone.utc), 0
    while True:
        pane = inside(uri, pane_folder(start, number))
        found = committed(pane)
        if found is None:
            return {file: sorted(ranges) for file, ranges in rows.items()}
        with brought_here(inside(pane, found.folder, SOURCES)) as path:
            for file, ranges in json.loads(path.read_text(encoding="utf-8")).items():
                rows.setdefault(file, []).extend(ranges)
        number += 1


def _finished(directory: Path, window: int) -> dict[str, list[list[int]]]:
    """Returns the rows in finished panes of a window."""
    folder = directory / pane_folder(datetime.fromtimestamp(window / 1e6, timezone.utc), 0)
    rows: dict[str, list[list[int]]] = {}
    for manifest in folder.glob(f"**/{MANIFEST}"):
        sources = json.loads(manifest.with_name(SOURCES).read_text(encoding="utf-8"))
        for file, ranges in sources.items():
            rows.setdefault(file, []).extend(ranges)
    return {file: sorted(ranges) for file, ranges in rows.items()}


def _is_left(path: Path, finished: Ranges) -> bool:
    try:
        rows = dict(_rows(path))
    except (FileNotFoundError, ValueError, DataError):
        rows = {}
    if rows:
        return all(
            in_ranges(numbers, finished.get(file, ())).all() for file, numbers in rows.items()
        )
    if (path / MANIFEST).exists():  # Sealed, and on its way to its place.
        return False
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
    except FileNotFoundError:  # It was renamed or removed meanwhile.
        return False


def _rows(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the numbers of a pending pane's or segment's rows, by where they come from."""
    if path.is_dir():
        for file, ranges in json.loads((path / SOURCES).read_text(encoding="utf-8")).items():
            yield file, np.concatenate([np.arange(first, last + 1) for first, last in ranges])
    else:
        contents = read_segment(str(path))
        yield contents.file, contents.numbers


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
