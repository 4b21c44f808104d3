"""Panes of windows as they finish: waited for on this machine's disks, or in a bucket."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from skewless.model.metrics.slices import raw_files
from skewless.schemas.records.layout import RAW
from skewless.schemas.records.windows import finished_panes
from skewless.schemas.storage.location import as_path, is_uri
from skewless.schemas.storage.windows import RemoteWindows, windows_to_read

__all__ = ["Arrivals", "arriving"]


@dataclass(frozen=True)
class Arrivals:
    """How panes are waited for.

    Attributes:
      root: The directory of windows.
      poll: Seconds between looks at it.
      idle_timeout: How many seconds without a new pane end the waiting; None waits on.
      remote: The windows at a URI, of which `root` has what is at hand; None where it is all.
    """

    root: Path
    poll: float
    idle_timeout: float | None
    remote: RemoteWindows | None = None

    def after(self, consumed: Sequence[str]) -> str | None:
        """Returns the oldest finished pane that was not consumed; None if none comes in time.

        Raises:
          UsageError: If they lie at a URI, and the store cannot be read.
        """
        begun, limit = time.monotonic(), self.idle_timeout
        known = frozenset(consumed)
        while True:
            if self.remote is None:
                finished = [folder for folder, _ in finished_panes(self.root, known)]
            else:
                finished = [folder for folder in self.remote.panes() if folder not in known]
            if finished:
                return finished[0]
            left = math.inf if limit is None else begun + limit - time.monotonic()
            if left <= 0:
                return None
            time.sleep(min(self.poll, left))

    def at_hand(self, pane: str) -> Path:
        """Returns the folder of a pane, which is fetched first where windows lie at a URI.

        Raises:
          UsageError: If the store cannot be read.
          DataError: If the pane is gone, or is not as it was left.
        """
        if self.remote is not None:
            self.remote.bring(pane)
        return self.root / pane

    def free(self, pane: str) -> None:
        """Removes what was fetched of a pane that is done with."""
        if self.remote is not None:
            self.remote.free(pane)

    def with_raw_rows(self, consumed: Sequence[str]) -> Path | None:
        """Returns the last pane consumed that keeps raw rows, at hand."""
        if self.remote is None:
            panes = (self.root / folder for folder in reversed(consumed))
            return next((pane for pane in panes if raw_files(pane, "train")), None)
        keeping = frozenset(self.remote.panes(holding=RAW))
        pane = next((folder for folder in reversed(consumed) if folder in keeping), None)
        return None if pane is None else self.at_hand(pane)


@contextlib.contextmanager
def arriving(
    directory: str | Path, reader: str, poll: float, idle_timeout: float | None
) -> Iterator[Arrivals]:
    """Gives the panes of a directory of windows, a path or URI.

    Args:
      directory: What `stream` leaves.
      reader: Names who reads.
      poll: As `Arrivals` takes it.
      idle_timeout: As `Arrivals` takes it.

    Raises:
      UsageError: If no stream began at the URI, or the store cannot be read.
    """
    local = as_path(str(directory)) if is_uri(directory) else Path(directory)
    if local is not None:
        yield Arrivals(local, poll, idle_timeout)
        return
    with windows_to_read(str(directory), reader) as remote:
        yield Arrivals(remote.path, poll, idle_timeout, remote)
