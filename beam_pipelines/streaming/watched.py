"""A stream that runs on a cluster, watched by its command: panes are told of as they appear."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
from apache_beam.runners.runner import PipelineState

from skewless.schemas.records.layout import MANIFEST
from skewless.schemas.storage.windows import RemoteWindows

__all__ = ["WindowsInBucket", "WindowsInDirectory", "watch"]


class WindowsInDirectory:
    """Windows that this machine sees."""

    # Seconds between looks.
    patience = 1.0

    def __init__(self, path: Path) -> None:
        self._path = path

    def panes(self) -> list[str]:
        """Returns the folders of finished panes."""
        found = self._path.glob(f"window=*/**/{MANIFEST}")
        return sorted(path.parent.relative_to(self._path).as_posix() for path in found)

    def have(self, folder: str) -> None:
        """Has a pane's manifest at hand, as it is."""


class WindowsInBucket:
    """Windows in a bucket."""

    patience = 5.0

    def __init__(self, remote: RemoteWindows) -> None:
        self._remote = remote

    def panes(self) -> list[str]:
        """Returns the folders of finished panes."""
        begin = time.monotonic()
        found = self._remote.panes()
        # All names are looked through; it is to take a twentieth of the time at most.
        self.patience = max(WindowsInBucket.patience, 20 * (time.monotonic() - begin))
        return found

    def have(self, folder: str) -> None:
        """Fetches a pane's manifest."""
        self._remote.bring(folder, [MANIFEST])


def watch(
    pipeline: beam.Pipeline,
    windows: WindowsInDirectory | WindowsInBucket,
    tell: Callable[[str], bool],
) -> None:
    """Runs a pipeline, telling of panes as they appear; cancels it when told to."""
    known = set(windows.panes())
    result = pipeline.run()
    while not PipelineState.is_terminal(result.state):
        time.sleep(windows.patience)
        for folder in windows.panes():
            if folder in known:
                continue
            known.add(folder)
            windows.have(folder)
            if not tell(folder):
                result.cancel()
                return
    result.wait_until_finish()
