"""One run of an arm: made, gone on with, or taken as it is; and how long the rest may take."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import keras

from skewless.model.comparison.arms import Arm, with_values
from skewless.model.train import train
from skewless.model.training.records import Records
from skewless.model.training.run_directory import RunDirectory
from skewless.schemas.errors import TrainingError, UsageError
from skewless.schemas.progress import duration
from skewless.schemas.records.layout import METRICS, SPEC

__all__ = ["Pace", "run_of"]

_LOGGER = logging.getLogger(__name__)


class Pace:
    """Says which run of how many begins, and how long the rest may take by those before."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = self._trained = 0
        self._seconds = 0.0

    def begin(self, arm: Arm, seed: int) -> None:
        """Says which run begins."""
        left = (self._total - self._done) * self._seconds / max(self._trained, 1)
        _LOGGER.info(
            "run %d of %d: %s, seed %d%s",
            self._done + 1,
            self._total,
            arm.name,
            seed,
            f"; {duration(left)} left" if self._trained else "",
        )

    def end(self, seconds: float | None) -> None:
        """Counts a run; None for one that was there already."""
        self._done += 1
        if seconds is not None:
            self._trained += 1
            self._seconds += seconds


def run_of(
    path: Path, records: Records, arm: Arm, seed: int, cache: str | None, pace: Pace
) -> dict[str, Any] | str:
    """Returns the metrics of a run, made now unless it is there; or why it has none."""
    spec = with_values(arm.spec, {"training.seed": seed})
    there = (path / SPEC).is_file()
    if there:
        directory = RunDirectory(path)
        if directory.spec != spec or directory.manifest != records.manifest:
            raise UsageError(
                f"{path}: holds a run of another spec or of other records; choose another --output, "
                "or remove that directory"
            )
    if (path / METRICS).is_file():
        pace.end(None)
        found: dict[str, Any] = json.loads((path / METRICS).read_text(encoding="utf-8"))
        return found
    pace.begin(arm, seed)
    # A fresh state for each run: what it gives must not depend on those before it.
    keras.utils.clear_session()
    begun = time.monotonic()
    try:
        return train(
            records.directory, path, spec=None if there else spec, resume=there, cache=cache
        )
    except TrainingError as error:
        return str(error)
    finally:
        pace.end(time.monotonic() - begun)
