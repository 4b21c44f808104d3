"""Versions: a directory of numbered models, of which the newest answers.

A version that appears is loaded beside the one that answers and takes its place when it is ready,
which it is when every file is as it was exported. Requests that hold the old one end with it. A
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

from model.serve.event_log import log
from model.serve.metrics import Metrics
from model.serve.servable import SAVED_MODEL, Servable
from model.serve.status import ServingError
from schemas.errors import DataError, UsageError
from schemas.raw_columns import raw_columns
from schemas.spec import Spec

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

    def __init__(self, directory: str | Path, metrics: Metrics, name: str | None = None) -> None:
        """Loads nothing yet.

        Args:
          directory: An exported model, or a directory of numbered ones, which may still be empty.
          metrics: Is told of loads.
          name: What clients call the model; by default, what its spec does.

        Raises:
          UsageError: If there is no such directory.
        """
        self._root = Path(directory)
        if not self._root.is_dir():
            raise UsageError(
                f"{self._root}: expected an exported model or a directory of numbered ones, "
                "found no directory; `skewless export RUN --output MODEL` leaves one"
            )
        self._metrics = metrics
        self._name = name
        self._current: Servable | None = None
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[int, tuple] = {}
        self._told_of_none = False

    @property
    def name(self) -> str:
        """What clients call the model."""
        if self._name is not None:
            return self._name
        return self._root.name if self._current is None else self._current.model.spec.name

    @property
    def current(self) -> Servable | None:
        """The version that answers."""
        return self._current

    def get(self, name: str, version: int | None = None, label: str = "") -> Servable:
        """Returns the version to answer with; who holds it keeps it loaded.

        Raises:
          ServingError: If there is no such model or version, or it is not loaded.
        """
        if label:
            raise ServingError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        if version is None:
            if name == self.name and self._current is not None:
                return self._current
            raise ServingError("NOT_FOUND", f"Servable not found for request: Latest({name})")
        if name == self.name and self._current is not None and self._current.version == version:
            return self._current
        raise ServingError(
            "NOT_FOUND", f"Servable not found for request: Specific({name}, {version})"
        )

    def statuses(self, name: str, version: int | None = None) -> dict[int, VersionStatus]:
        """Returns what became of each version, the newest first, or of one.

        Raises:
          ServingError: If there is no such model or version.
        """
        known = dict(sorted(self._statuses.items(), reverse=True)) if name == self.name else {}
        if version is None:
            if known:
                return known
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        if version in known:
            return {version: known[version]}
        raise ServingError("NOT_FOUND", f"Could not find version {version} of model {name}")

    def failure_of_only_version(self) -> str:
        """Returns why an unnumbered model could not be loaded; there will be no other one."""
        if self._current is not None or not (self._root / SAVED_MODEL).is_file():
            return ""
        return next(iter(self._statuses.values())).error

    async def watch(self, poll: float) -> None:
        """Takes up versions as they appear, for ever."""
        while True:
            await asyncio.sleep(poll)
            try:
                await self.refresh()
            except OSError as error:
                log("models not readable", logging.WARNING, path=self._root, error=error)

    async def refresh(self) -> None:
        """Loads the newest version that can be loaded, unless it is the one that answers."""
        found = self._found()
        if not found and not self._told_of_none:
            log("no model yet", logging.WARNING, path=self._root, expected="folders 1, 2, …")
        self._told_of_none = not found
        for version in sorted(found, reverse=True):
            if self._current is not None and self._current.version == version:
                return
            traces = _traces(found[version])
            if self._failed.get(version) == traces:
                continue
            if await self._load(found[version], version, traces):
                return
            self._failed[version] = traces

    def _found(self) -> dict[int, Path]:
        if (self._root / SAVED_MODEL).is_file():
            own = self._root.name
            return {int(own) if own.isdecimal() else 1: self._root}
        return {
            int(path.name): path
            for path in self._root.iterdir()
            if path.name.isdecimal() and _is_there(path / SAVED_MODEL)
        }

    async def _load(self, directory: Path, version: int, traces: tuple) -> bool:
        begun = time.perf_counter()
        self._statuses[version] = VersionStatus("LOADING")
        log("loading", version=version, path=directory)
        try:
            loaded = await asyncio.to_thread(_checked, directory, version, traces)
        except Exception as error:
            self._statuses[version] = VersionStatus("END", f"{type(error).__name__}: {error}")
            self._metrics.loads.labels("failed").inc()
            log("not loaded", logging.ERROR, version=version, path=directory, error=error)
            return False
        old, self._current = self._current, loaded
        note = "" if old is None else _another_declaration(old.model.spec, loaded.model.spec)
        if note:
            log("another spec", logging.WARNING, version=version, path=directory, note=note)
        self._statuses[version] = VersionStatus("AVAILABLE", note=note)
        self._metrics.loads.labels("ok").inc()
        self._metrics.model_version.set(version)
        log("loaded", version=version, seconds=round(time.perf_counter() - begun, 3))
        if old is not None:
            self._unload(old)
            del old
            await asyncio.to_thread(gc.collect)
        return True

    def _unload(self, old: Servable) -> None:
        """Notes the end of a version for when the last request lets go of it."""
        version = old.version
        self._statuses[version] = VersionStatus("UNLOADING")

        def ended() -> None:
            if self._statuses[version].state == "UNLOADING":
                self._statuses[version] = VersionStatus("END")
                log("unloaded", version=version)

        weakref.finalize(old, ended).atexit = False


def _checked(directory: Path, version: int, traces: tuple) -> Servable:
    """Loads a version whose files stayed as they were seen, checked and read."""
    loaded = Servable(directory, version)
    if _traces(directory) != traces:
        raise DataError(
            f"{directory}: its files changed while it was loaded; wait until all are there"
        )
    return loaded


def _another_declaration(old: Spec, new: Spec) -> str:
    """Returns how a version asks or answers something else than the one before it, or nothing."""
    told = []
    if old.name != new.name:
        told.append(f"its spec is {new.name!r}, that of the version before it {old.name!r}")
    before, now = _asked(old), _asked(new)
    for said, columns in (
        ("reads no more", before.keys() - now.keys()),
        ("reads as well", now.keys() - before.keys()),
        ("reads otherwise", {c for c in before.keys() & now.keys() if before[c] != now[c]}),
    ):
        if columns:
            told.append(f"{said} {', '.join(sorted(columns))}")
    if _answer(old) != _answer(new):
        told.append(f"predicts {_answer(new)}, not {_answer(old)}")
    return "; ".join(told)


def _asked(spec: Spec) -> dict[str, tuple[str, bool, int]]:
    return {
        name: (column.kind, column.multivalued, column.width)
        for name, column in raw_columns(spec).items()
        if column.role == "feature"
    }


def _answer(spec: Spec) -> str:
    return "nothing" if spec.label is None else f"{spec.label.column} ({spec.label.type})"


def _is_there(path: Path) -> bool:
    """Returns whether a file is there; one version that cannot be read is no reason to pass all."""
    try:
        return path.is_file()
    except OSError as error:
        log("version not readable", logging.WARNING, path=path, error=error)
        return False


def _traces(directory: Path) -> tuple:
    """Returns what changes when files of a model do."""
    return tuple(sorted(_trace(path) for path in directory.rglob("*")))


def _trace(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:  # A link to nothing, or a file that was just removed.
        return str(path), -1, 0, 0
    # A copy may set its time back to the original's, but not the time of that change.
    return str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns
