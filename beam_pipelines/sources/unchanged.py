"""Whether an input file is still the one that was planned: rows of two versions must not mix."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from apache_beam.io.filesystems import FileSystems

from skewless.beam_pipelines.sources.units import FileState, RawBatch, WorkUnit
from skewless.schemas.errors import DataError
from skewless.schemas.storage.location import Location
from skewless.schemas.storage.rows import input_path, size_and_version

__all__ = ["last_changed", "state_of", "while_unchanged"]


def state_of(file: str) -> FileState | None:
    """Returns the file's size and time or version as they are now; None where it is gone."""
    try:
        place = input_path(file)
        if isinstance(place, Location):
            return FileState(*size_and_version(place))
        system = FileSystems.get_filesystem(file)
        return FileState(int(system.size(file)), float(system.last_updated(file)))
    except Exception:  # Beam wraps every filesystem's own errors differently
        return None


def last_changed(file: str) -> float:
    """Returns when the file was written last, in seconds since 1970.

    Raises:
      OSError: If it is gone.
    """
    place = input_path(file)
    if isinstance(place, Location):
        return float(place.system.modified(place.path).timestamp())
    return float(FileSystems.last_updated(place))


def while_unchanged(unit: WorkUnit, batches: Iterator[RawBatch]) -> Iterator[RawBatch]:
    """Yields the batches of a unit, whatever they cannot be read by being told as it came about.

    Raises:
      DataError: If the file is not the one that was planned, before the first batch or after the
        last, or when reading fails.
    """
    _refuse_changed(unit)
    try:
        yield from batches
    except Exception as error:
        _refuse_changed(unit, error)
        raise
    _refuse_changed(unit)


def _refuse_changed(unit: WorkUnit, cause: Exception | None = None) -> None:
    planned = unit.state
    if planned is None:
        return
    now = state_of(unit.file)
    if now is not None and planned.changed is None:
        now = dataclasses.replace(now, changed=None)
    if now == planned:
        return
    if now is None:
        what = "is gone"
    elif now.bytes != planned.bytes:
        what = f"had {planned.bytes:,} bytes and has {now.bytes:,}"
    else:
        what = "was written again"
    raise DataError(
        f"{unit.file}: {what} since the job was planned; leave the input in place while it is "
        "read, and run the job again"
    ) from cause
