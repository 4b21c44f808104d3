"""What a stream holds of users between its windows: the newest values of each, in a database beside them.

Of a user at most twice `length` values are held: the newest of its newest time, and the newest of before. So what is
held does not hang on the order in which panes are added, and the panes that were are named in the same
transaction: a pane that is added again, after a kill, changes nothing.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from skewless.beam_pipelines.analysis.spilled.runs import KEY
from skewless.beam_pipelines.histories.events import PLACE, SECOND, TIME, VALUE
from skewless.beam_pipelines.histories.past import NOWHERE

__all__ = ["HeldPasts", "newest_events"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pasts (feature TEXT, whom BLOB, events TEXT, PRIMARY KEY (feature, whom)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS panes (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
# Parameters of one query.
_ASKED = 500
Value: TypeAlias = "str | int"
Event: TypeAlias = tuple[int, Value]


def newest_events(events: list[Event], length: int) -> list[Event]:
    """Returns what later rows of one user may see of its events, sorted: at most twice `length`.

    Args:
      events: Times and values, sorted.
      length: How many values of a past are kept.
    """
    if not events:
        return []
    latest = bisect_left(events, events[-1][:1])
    return events[max(0, latest - length) : latest] + events[max(latest, len(events) - length) :]


class HeldPasts:
    """The values held of each user; one process at a time."""

    def __init__(self, path: str | Path, lengths: Mapping[str, int]) -> None:
        """Opens them, or begins with nothing.

        Args:
          path: The database.
          lengths: By history, how many values of a past are kept.
        """
        self._path = str(path)
        self._lengths = lengths
        with closing(self._connected()) as database:
            database.executescript(_SCHEMA)

    def panes(self) -> set[str]:
        """Returns the ids of the panes that were added."""
        with closing(self._connected()) as database:
            return {id for (id,) in database.execute("SELECT id FROM panes")}

    def events(self, history: str, users: np.ndarray, kind: pa.DataType) -> pa.Table:
        """Returns the events held of some users, at `NOWHERE`.

        Args:
          history: Of which.
          users: [users, 2] uint64, distinct hashes.
          kind: Of the values.
        """
        found: list[tuple[int, int, int, Value]] = []
        with closing(self._connected()) as database:
            for whom, events in _held(database, history, users):
                first, second = np.frombuffer(whom, np.uint64).tolist()
                found += [(first, second, time, value) for time, value in events]
        columns = list(zip(*found, strict=True)) or [()] * 4
        return pa.table(
            {
                KEY: pa.array(columns[0], pa.uint64()),
                SECOND: pa.array(columns[1], pa.uint64()),
                TIME: pa.array(columns[2], pa.int64()),
                VALUE: pa.array(columns[3], kind),
                PLACE: np.full(len(found), NOWHERE),
            }
        )

    def add(self, pane: str, events: Mapping[str, pa.Table]) -> None:
        """Adds the events of a pane, by history, in one transaction, unless it was added before."""
        with closing(self._connected()) as database, database:
            database.execute("BEGIN IMMEDIATE")
            known = database.execute("SELECT 1 FROM panes WHERE id = ?", (pane,)).fetchone()
            if known is None:
                for history, table in events.items():
                    self._add(database, history, table)
                database.execute("INSERT INTO panes VALUES (?)", (pane,))

    def _add(self, database: sqlite3.Connection, history: str, table: pa.Table) -> None:
        table = table.filter(table[VALUE].is_valid())
        users = np.stack([table[KEY].to_numpy(), table[SECOND].to_numpy()], axis=1)
        gathered: dict[bytes, list[Event]] = {}
        values = zip(table[TIME].to_pylist(), table[VALUE].to_pylist(), strict=True)
        for whom, event in zip(map(np.ndarray.tobytes, users), values, strict=True):
            gathered.setdefault(whom, []).append(event)
        asked = np.frombuffer(b"".join(gathered), np.uint64).reshape(-1, 2)
        for whom, held in _held(database, history, asked):
            gathered[whom] += held
        length = self._lengths[history]
        database.executemany(
            "INSERT OR REPLACE INTO pasts VALUES (?, ?, ?)",
            (
                (history, whom, json.dumps(newest_events(sorted(some), length)))
                for whom, some in gathered.items()
            ),
        )

    def _connected(self) -> sqlite3.Connection:
        # No transaction but those that are begun here.
        return sqlite3.connect(self._path, isolation_level=None)


def _held(
    database: sqlite3.Connection, history: str, users: np.ndarray
) -> Iterator[tuple[bytes, list[Event]]]:
    """Yields those of some users of whom something is held, with their events."""
    for begin in range(0, len(users), _ASKED):
        asked = [user.tobytes() for user in users[begin : begin + _ASKED]]
        marks = ",".join("?" * len(asked))
        query = f"SELECT whom, events FROM pasts WHERE feature = ? AND whom IN ({marks})"
        for whom, events in database.execute(query, (history, *asked)).fetchall():
            yield whom, [(time, value) for time, value in json.loads(events)]
