"""Versions: a directory of numbered models, of which the newest answers who asks for none.

A version that appears is loaded beside those that answer and takes the place of the oldest when it is
ready, which it is when every file is as it was exported. Requests that hold the old one end with it. A
version that cannot be loaded, or is still being copied, is passed over and tried again when its files
change. Deleting the newest brings back the one before it, as in TensorFlow Serving.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

from skewless.model.serve.models.declarations import another_declaration
from skewless.model.serve.models.model_config import ModelConfig
from skewless.model.serve.models.servable import Servable
from skewless.model.serve.models.version_folders import found_versions, traces_of
from skewless.model.serve.models.warmup import warm_up
from skewless.model.serve.monitoring.event_log import log
from skewless.model.serve.monitoring.metrics import Metrics
from skewless.schemas.errors import DataError
from skewless.schemas.records.layout import SAVED_MODEL

__all__ = ["VersionStatus", "Versions"]


@dataclass(frozen=True)
class VersionStatus:
    """What became of a version.

    Attributes:
      state: LOADING, AVAILABLE, UNLOADING or END, as TensorFlow Serving has them.
      error: Why it could not be loaded; empty if it could.
      note: What else is to be known of a version that was loaded.
    """

    state: str
    error: str = ""
    note: str = ""


class Versions:
    """The versions of one model."""

    def __init__(
        self, config: ModelConfig, metrics: Metrics, turn: asyncio.Lock | None = None
    ) -> None:
        """Loads nothing yet.

        Args:
          config: Where they are, and which of them are wanted; the directory may still be empty.
          metrics: Is told of loads.
          turn: Held while one is loaded, which those who share it do one after another.
        """
        self._config = config
        self._metrics = metrics
        self._turn = turn or asyncio.Lock()
        self._loaded: dict[int, Servable] = {}
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[Path, tuple] = {}
        self._closed = False
        self._told_of_none = ""
        self._told_name: str | None = None

    @property
    def name(self) -> str:
        """What clients call the model."""
        if self._config.name is not None:
            return self._config.name
        current = self.current
        return self._config.base_path.name if current is None else current.model.spec.name

    @property
    def current(self) -> Servable | None:
        """The newest that is loaded, which answers who asks for no version."""
        return self._loaded[max(self._loaded)] if self._loaded else None

    @property
    def statuses(self) -> dict[int, VersionStatus]:
        """What became of each version, the newest first."""
        return dict(sorted(self._statuses.items(), reverse=True))

    def get(self, version: int) -> Servable | None:
        """Returns a version if it is loaded; who holds it keeps it loaded."""
        return self._loaded.get(version)

    def failure_of_only_version(self) -> str:
        """Returns why an unnumbered model could not be loaded; there will be no other one."""
        if self._loaded or not (self._config.base_path / SAVED_MODEL).is_file():
            return ""
        return next(iter(self._statuses.values())).error

    def configure(self, config: ModelConfig) -> None:
        """Takes other wishes, to be met by the next `refresh`."""
        self._config = config

    async def refresh(self) -> None:
        """Loads what is wanted and not yet loaded, and lets go of what is wanted no more.

        As long as none of those wanted can be loaded, what is loaded stays.
        """
        async with self._turn:
            if self._closed:
                return
            wanted = await self._wanted()
            newest = self._config.policy.newest
            kept: set[int] = set()
            for version, directory in wanted.items():
                if newest is not None and len(kept) >= newest:
                    break
                if await self._is_loaded(directory, version):
                    kept.add(version)
            if kept:
                await self._unload(self._loaded.keys() - kept)

    async def close(self) -> None:
        """Lets go of all versions, for good."""
        self._closed = True
        async with self._turn:
            await self._unload(set(self._loaded))
            if self._told_name is not None:
                self._metrics.model_version.remove(self._told_name)

    async def _wanted(self) -> dict[int, Path]:
        """Returns where the wanted versions are, the newest first."""
        root = self._config.base_path
        try:
            found, why = await asyncio.to_thread(found_versions, root), "expected folders 1, 2, …"
        except OSError as error:
            found, why = {}, str(error)
        wanted = {version: found[version] for version in self._config.policy.candidates(found)}
        missing = "" if wanted else why
        if missing and missing != self._told_of_none:
            log("no model yet", logging.WARNING, model=self.name, path=root, error=missing)
        self._told_of_none = missing
        self._tell_version()
        return wanted

    async def _is_loaded(self, directory: Path, version: int) -> bool:
        """Returns whether a version is loaded, after trying to if it was not tried before."""
        loaded = self._loaded.get(version)
        if loaded is not None and loaded.model.directory == directory:
            return True
        traces = await asyncio.to_thread(traces_of, directory)
        if self._failed.get(directory) == traces:
            return False
        if await self._load(directory, version, traces):
            self._failed.pop(directory, None)
            return True
        self._failed[directory] = traces
        return False

    async def _load(self, directory: Path, version: int, traces: tuple) -> bool:
        begun = time.perf_counter()
        before = self._statuses.get(version)
        self._statuses[version] = VersionStatus("LOADING")
        log("loading", model=self._config.name, version=version, path=directory)
        try:
            loaded = await asyncio.to_thread(self._checked, directory, version, traces)
        except Exception as error:
            failed = VersionStatus("END", f"{type(error).__name__}: {error}")
            still = before is not None and version in self._loaded
            self._statuses[version] = before if still and before is not None else failed
            self._metrics.loads.labels(self.name, "failed").inc()
            self._metrics.tensorflow_serving.loaded(str(directory), None)
            log(
                "not loaded",
                logging.ERROR,
                model=self.name,
                version=version,
                path=directory,
                error=error,
            )
            return False
        last = self.current
        replaced = self._loaded.get(version)
        self._loaded[version] = loaded
        note = "" if last is None else another_declaration(last, loaded.model.spec)
        if note:
            log("another spec", logging.WARNING, version=version, path=directory, note=note)
        self._statuses[version] = VersionStatus("AVAILABLE", note=note)
        self._metrics.loads.labels(self.name, "ok").inc()
        self._tell_version()
        seconds = time.perf_counter() - begun
        self._metrics.tensorflow_serving.loaded(str(directory), seconds)
        log("loaded", model=self.name, version=version, seconds=round(seconds, 3))
        if replaced is not None:
            log("replaced", model=self.name, version=version, path=replaced.model.directory)
        return True

    def _checked(self, directory: Path, version: int, traces: tuple) -> Servable:
        """Loads and warms up a version whose files stayed as they were seen, checked and read."""
        loaded = Servable(directory, version, self._config.name)
        warm_up(loaded, self._metrics)
        if traces_of(directory) != traces:
            raise DataError(
                f"{directory}: its files changed while it was loaded; wait until all are there"
            )
        return loaded

    async def _unload(self, versions: set[int]) -> None:
        """Lets go of versions; each ends when the last request lets go of it too."""
        for version in versions:
            self._statuses[version] = VersionStatus("UNLOADING")
            weakref.finalize(self._loaded.pop(version), self._ended, version).atexit = False
        if versions:
            self._tell_version()
            await asyncio.to_thread(gc.collect)

    def _ended(self, version: int) -> None:
        if self._statuses[version].state == "UNLOADING":
            self._statuses[version] = VersionStatus("END")
            log("unloaded", model=self.name, version=version)

    def _tell_version(self) -> None:
        """Sets the figure of the version that answers, under the name that the model has now."""
        gauge = self._metrics.model_version
        if self._told_name not in (None, self.name):
            gauge.remove(self._told_name)
        self._told_name = self.name
        current = self.current
        gauge.labels(self.name).set(0 if current is None else current.version)
