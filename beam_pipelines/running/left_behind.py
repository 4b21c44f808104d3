"""What a pipeline leaves for the command that ran it: one document, at a path or URI that both read."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam

from skewless.beam_pipelines.running.checked_file import (
    json_section,
    read_checked,
    read_json_section,
    write_checked,
)
from skewless.schemas.errors import DataError
from skewless.schemas.storage.between.files import brought, forget, hand_on, made_here
from skewless.schemas.storage.location import is_uri

__all__ = ["leave", "take"]

_TOGETHER = 0


def leave(
    pipeline: beam.Pipeline,
    path: str | Path,
    document: Callable[..., Any],
    **collections: beam.PCollection,
) -> None:
    """Lets a pipeline write a file at its end.

    Args:
      pipeline: Whose collections they are.
      path: Of the file, or its URI; its name says what is in it.
      document: Called with the elements of each collection, in any order, by the collection's name; returns
        what JSON can say.
      collections: By name.
    """
    named = [
        collection | f"Name[{name}]" >> beam.Map(_named, name)
        for name, collection in collections.items()
    ]
    # What is there even where no collection holds anything.
    named.append(pipeline | "FileToLeave" >> beam.Create([(_TOGETHER, None)]))
    # All by one key: a gathering of each took the local runner three stages more.
    _ = (
        named
        | "Gather" >> beam.Flatten()
        | "GatherAll" >> beam.GroupByKey()
        | "Leave" >> beam.Map(_write, str(path), document, tuple(collections))
    )


def take(path: str | Path) -> Any:
    """Reads what a pipeline that ended has left, and removes the file; tuples come as lists.

    Raises:
      DataError: If the file is not as it was written, or nothing was.
    """
    path = str(path)
    kind = os.path.basename(path)
    here = _here(path)
    try:
        if is_uri(path):
            brought(path, here)
        [section] = read_checked(here, kind, [0])
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: the pipeline ended and left no {kind}; its workers must see the output's "
            "directory: give --output on a file system that they share, or a URI"
        ) from error
    here.unlink()
    if is_uri(path):
        forget(path)
    return read_json_section(section)


def _named(element: Any, name: str) -> tuple[int, tuple[str, Any]]:
    return _TOGETHER, (name, element)


def _write(
    gathered_all: tuple[int, Iterable[tuple[str, Any] | None]],
    path: str,
    document: Callable[..., Any],
    names: Sequence[str],
) -> None:
    gathered: dict[str, list[Any]] = {name: [] for name in names}
    for name, element in filter(None, gathered_all[1]):
        gathered[name].append(element)
    here = _here(path)
    write_checked(here, os.path.basename(path), [json_section(document(**gathered))])
    if is_uri(path):
        hand_on(str(here), path)


def _here(path: str) -> Path:
    """Returns where the file is on this machine while it is written or read."""
    return Path(made_here(path), uuid.uuid4().hex) if is_uri(path) else Path(path)
