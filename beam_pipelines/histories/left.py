"""What a batch leaves of pasts, for later batches and streams to begin with: of each user the newest values.

    OUT/pasts/part-00000-of-00002.pasts         of one history, of the users of one partition

Files hold sections with digests (beam_pipelines/running/checked_file.py): the history's name, then events, and at the end
how many those are. Users are told by hashes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from skewless.beam_pipelines.analysis.spilled.runs import KEY
from skewless.beam_pipelines.histories.events import SECOND, TIME, VALUE
from skewless.beam_pipelines.records.parts import Part, finished, new_path
from skewless.beam_pipelines.running.checked_file import (
    batch_section,
    checked_sections,
    json_section,
    read_all_checked,
    read_batch_section,
    read_json_section,
)
from skewless.schemas.errors import DataError, DatasetMismatchError, UsageError
from skewless.schemas.records.layout import MANIFEST, PASTS, SPEC
from skewless.schemas.records.manifest import file_sha256
from skewless.schemas.spec.kinds.history import histories_of
from skewless.schemas.spec.spec import Spec, load

__all__ = ["LeftPasts", "leaving_pasts", "open_pasts"]

_KIND = "pasts"
_COLUMNS = (KEY, SECOND, TIME, VALUE)
# Events of a section: some megabytes.
_TOGETHER = 1 << 17


@contextlib.contextmanager
def leaving_pasts(
    name: str, shared: str, parts: list[Part]
) -> Iterator[Callable[[pa.Table], None]]:
    """Gives what takes events of some users, in their order, for a file of them.

    Args:
      name: The history.
      shared: What workers and command share, a path or a URI.
      parts: Is given the finished file.
    """
    path = new_path(shared, PASTS)
    waiting: list[pa.Table] = []
    events = 0

    with checked_sections(path, _KIND) as add:

        def write() -> None:
            if any(map(len, waiting)):
                [batch] = pa.concat_tables(waiting).combine_chunks().to_batches()
                add(batch_section(batch))
            waiting.clear()

        def take(table: pa.Table) -> None:
            nonlocal events
            events += len(table)
            waiting.append(table.select(_COLUMNS))
            if sum(map(len, waiting)) >= _TOGETHER:
                write()

        add(json_section({"history": name}))
        yield take
        write()
        add(json_section({"events": events}))
    parts.append(finished(Part(PASTS, "", path, events), shared))


@dataclass(frozen=True)
class LeftPasts:
    """The pasts of a data set's rows.

    Attributes:
      id: Tells the data set from others.
      path: The folder of their files.
      spec: The declaration of what they are to be used for.
    """

    id: str
    path: Path
    spec: Spec

    def files(self) -> list[str]:
        """Returns the names of the files.

        Raises:
          DataError: If one is gone.
        """
        names = sorted(path.name for path in self.path.glob("part-*"))
        if not names:
            raise DataError(f"{self.path}: holds no files; preprocess again")
        # Each name ends with how many there are.
        if len(names) != int(names[0].rpartition("-of-")[2].split(".")[0]):
            raise DataError(f"{self.path}: lacks files beside {names[0]}; preprocess again")
        return names

    def events(self, name: str) -> Iterator[tuple[str, pa.Table]]:
        """Yields a file's events, some at a time, with the history that they are of.

        Raises:
          DataError: If the file is damaged, or cut off.
        """
        path = self.path / name
        sections = _sections(path)
        head = read_json_section(next(sections, b"{}"))
        history = head.get("history")
        if history not in histories_of(self.spec.features):
            return
        events, last = 0, b""
        for section in sections:
            if last:
                table = pa.Table.from_batches([read_batch_section(last)])
                events += len(table)
                yield history, table
            last = section
        # No table begins as JSON does.
        if not last.startswith(b"{") or read_json_section(last) != {"events": events}:
            raise DataError(f"{path}: is cut off; preprocess again")


def _sections(path: Path) -> Iterator[bytes]:
    try:
        yield from read_all_checked(path, _KIND)
    except DataError as error:
        # Not to be removed: without it histories would be shorter, and nobody told.
        raise DataError(f"{path}: is cut off or damaged; preprocess again") from error


def open_pasts(spec: Spec, path: str | Path, told: str) -> LeftPasts:
    """Returns the pasts that lie in a folder `pasts/`, for histories of a spec.

    Args:
      spec: The declaration.
      path: The folder.
      told: What named it, for errors.

    Raises:
      UsageError: If the spec has no history, or it is no such folder.
      DatasetMismatchError: If they are of other histories.
      DataError: If files are gone.
    """
    folder = Path(path)
    if not histories_of(spec.features):
        raise UsageError(f"{told}: the spec has no history; leave it out")
    if folder.name != PASTS or not folder.is_dir() or not (folder.parent / MANIFEST).is_file():
        raise UsageError(
            f"{told}: expected the {PASTS}/ folder that `preprocess` left of a spec with histories, in its "
            "place; preprocess again, or name that one"
        )
    theirs = load(folder.parent / SPEC)
    known = histories_of(theirs.features)
    for name in histories_of(spec.features):
        if name not in known or _meant(theirs, name) != _meant(spec, name):
            raise DatasetMismatchError(
                f"{told}: has no history {name!r} of the same feature, by, time and length; use the pasts of "
                "records of this spec"
            )
    pasts = LeftPasts(file_sha256(folder.parent / MANIFEST), folder.absolute(), spec)
    pasts.files()
    return pasts


def _meant(spec: Spec, name: str) -> dict[str, Any]:
    """Returns what two histories must have in common for one to go on with the other."""
    history = histories_of(spec.features)[name]
    return {
        "column": list(spec.features[history.of].columns_read(history.of)),
        "kind": history.kind,
        "by": history.by,
        "time": history.time,
        "length": history.length,
    }
