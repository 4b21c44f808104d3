"""What a pipeline leaves for the command that ran it: one document, in a directory that both see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from skewless.beam_pipelines.running.checked_file import (
    json_section,
    read_checked,
    read_json_section,
    write_checked,
)
from skewless.schemas.errors import DataError

__all__ = ["leave", "take"]

Elements: TypeAlias = Sequence[Any]


def leave(
    pipeline: beam.Pipeline,
    path: Path,
    document: Callable[..., Any],
    **collections: beam.PCollection,
) -> None:
    """Lets a pipeline write a file at its end.

    Args:
      pipeline: Whose collections they are.
      path: Of the file; its name says what is in it.
      document: Called with the elements of each collection, in any order, by the collection's name; returns
        what JSON can say.
      collections: By name.
    """
    gathered = {
        name: AsSingleton(collection | f"Gather[{name}]" >> beam.combiners.ToList())
        for name, collection in collections.items()
    }
    _ = (
        pipeline
        | "FileToLeave" >> beam.Create([str(path)])
        | "Leave" >> beam.Map(_write, document, **gathered)
    )


def take(path: Path) -> Any:
    """Reads what a pipeline that ended has left, and removes the file; tuples come as lists.

    Raises:
      DataError: If the file is not as it was written, or nothing was.
    """
    try:
        [section] = read_checked(path, path.name, [0])
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: the pipeline ended and left no {path.name}; its workers must see the output's "
            "directory: give --output on a file system that they share"
        ) from error
    path.unlink()
    return read_json_section(section)


def _write(path: str, document: Callable[..., Any], **gathered: Elements) -> None:
    write_checked(path, Path(path).name, [json_section(document(**gathered))])
