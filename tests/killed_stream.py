"""A stream to a bucket that is killed at random moments, and each time started again with more rows.

After each kill every pane that can be seen is whole, and no row is in two. In the end the panes hold what a stream
to a path makes of the same files, each row of them once, and nothing of what was killed is left.
"""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from skewless.schemas.records.windows import finished_panes
from skewless.schemas.storage.fetched import fetched
from skewless.schemas.storage.location import Location
from skewless.schemas.storage.windows import RemoteWindows

__all__ = ["KilledStream"]

# 2026-01-01T00:00:00Z, and rows of a file: two windows of a minute and the end of an earlier one.
_BEGIN, _ROWS = 1_767_225_600, 150


class KilledStream:
    """One stream, of more files each time."""

    def __init__(self, uri: str, made: Path, folder: Path) -> None:
        """Takes the spec, the table and the records that lie at the beginning of paths, `made`."""
        self._uri, self._made, self._folder = uri, made, folder
        self._source = folder / "in"
        self._source.mkdir(parents=True)
        with open(f"{made}.csv", encoding="utf-8", newline="") as table:
            self._rows = [dict(row) for row in csv.DictReader(table)]

    def run(self, kills: int, moments: random.Random) -> str:
        """Returns what came of it, in words."""
        self._add(0)
        process = self._started(self._uri, "writer")
        begun = self._sealing("writer", process)
        assert process.wait() == 0
        seconds = time.monotonic() - begun
        panes = len(self._whole("first"))
        outcomes: Counter[str] = Counter()
        for kill in range(1, kills + 1):
            self._add(kill)
            process = self._started(self._uri, f"writer{kill % 2}")
            if kill % 4:
                # From when it seals its first pane to its end; at other times, at any.
                self._sealing(f"writer{kill % 2}", process)
            time.sleep(seconds * moments.random())
            process.kill()
            process.wait()
            now = len(self._whole(f"reader{kill}"))
            outcomes["with new panes" if now > panes else "without"] += 1
            panes = now
        assert self._started(self._uri, "writer").wait() == 0
        assert self._started(str(self._folder / "local"), "writer").wait() == 0
        found = self._whole("last")
        local = finished_panes(self._folder / "local")
        whole = self._content(self._folder / "local", [folder for folder, _ in local])
        at_hand = self._folder / "last" / "windows"
        assert self._content(at_hand, found) == whole
        left = self._orphans()
        assert not left, f"orphans at {self._uri}: {left}"
        return (
            f"{kills} kills, {dict(outcomes)}, {len(found)} panes in the end, {sum(whole.values()):,} "
            "records, as to a path, once"
        )

    def _add(self, turn: int) -> None:
        """Puts a file in place whose rows go on a minute after the last one's, some of them late."""
        path = self._source / f"{turn:03}.jsonl"
        with open(path.with_name(f".{path.name}"), "w", encoding="utf-8") as file:
            for place in range(_ROWS):
                row = self._rows[(turn * _ROWS + place) % len(self._rows)]
                late = 90 if place % 10 == 9 else 0
                at = _BEGIN + turn * 120 + place - late
                file.write(
                    json.dumps({**row, "id": f"{turn}-{place}", "at": max(at, _BEGIN)}) + "\n"
                )
        path.with_name(f".{path.name}").rename(path)

    def _started(self, output: str, cache: str) -> subprocess.Popen[bytes]:
        # Left by one that was killed.
        work = self._folder / cache / "work"
        self._sealed = set(work.glob("*/stream/.pending/panes/*"))
        words = [
            "stream", f"{self._made}.yaml", "--source", f"dir://{self._source}/*.jsonl",
            "--transform", f"{self._made}-records/transform", "--output", output,
            "--timestamp-column", "at", "--until-idle", "0", "--quiet",
        ]  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "skewless", *words],
            env={**os.environ, "SKEWLESS_CACHE": str(self._folder / cache)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _sealing(self, cache: str, process: subprocess.Popen[bytes]) -> float:
        """Waits until a pane is sealed; returns when that was."""
        work = self._folder / cache / "work"
        while process.poll() is None:
            if set(work.glob("*/stream/.pending/panes/*")) - self._sealed:
                break
            time.sleep(0.01)
        return time.monotonic()

    def _whole(self, reader: str) -> list[str]:
        """Returns the folders of panes, all of whose files are there, and no row in two of them."""
        os.environ["SKEWLESS_CACHE"] = str(self._folder / reader / "cache")
        fetched(self._uri)
        windows = RemoteWindows(Location.of(self._uri), self._folder / reader / "windows")
        folders = windows.panes()
        rows: Counter[tuple[str, int]] = Counter()
        for folder in folders:
            windows.bring(folder)
            sources = (windows.path / folder / "sources.json").read_text(encoding="utf-8")
            for file, ranges in json.loads(sources).items():
                rows.update((file, row) for first, last in ranges for row in range(first, last + 1))
        assert set(rows.values()) <= {1}, "rows are in two panes"
        return folders

    def _content(self, windows: Path, folders: list[str]) -> Counter[bytes]:
        import tensorflow as tf

        shards = [str(path) for folder in folders for path in (windows / folder).glob("*.tfrecord")]
        return Counter(
            tf.train.Example.FromString(record).SerializeToString(deterministic=True)
            for record in tf.data.TFRecordDataset(shards).as_numpy_iterator()
        )

    def _orphans(self) -> set[str]:
        """Returns the attempts that no marker names."""
        place = Location.of(self._uri)
        found = {
            path.partition("/attempt-")[0]: set[str]() for path in place.system.find(place.path)
        }
        for path in place.system.find(place.path):
            root, attempt, rest = path.partition("/attempt-")
            if attempt:
                found[root].add(rest.partition("/")[0])
        return {root for root, names in found.items() if len(names) > 1}
