"""The seconds of a job's parts."""

from __future__ import annotations

import time

__all__ = ["Laps"]


class Laps:
    """A clock that is started with the job and told when each part of it ends."""

    def __init__(self) -> None:
        self._begun = self._last = time.monotonic()
        self._laps: dict[str, float] = {}

    def end(self, part: str) -> None:
        """Notes that `part` ended just now; it began where the one before ended."""
        now = time.monotonic()
        self._laps[part] = now - self._last
        self._last = now

    def seconds(self) -> dict[str, float]:
        """Returns the seconds of each part, and those since the start as `total`."""
        laps = {**self._laps, "total": time.monotonic() - self._begun}
        return {part: round(seconds, 3) for part, seconds in laps.items()}
