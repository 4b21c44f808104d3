"""An output directory that is either complete or not there.

A job writes into a hidden directory beside its output, which takes the output's place in one
rename once everything, the manifest last, is in it (schemas/staged.py). Where the output is a URI,
workers on other machines leave what they make in its bucket instead.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.schemas.errors import UsageError
from skewless.schemas.staged import check_place, put_back, put_in_place, staging_beside
from skewless.schemas.storage.leaving import publication_of
from skewless.schemas.storage.location import is_uri
from skewless.schemas.storage.marker import FileEntry

if TYPE_CHECKING:
    from skewless.beam_pipelines.records.parts import Part

__all__ = ["OutputDirectory"]


class OutputDirectory:
    """Stages an output directory: `with OutputDirectory(path) as staged: …; staged.commit()`."""

    def __init__(self, path: str | Path, *, overwrite: bool = False, marker: str) -> None:
        """Checks that the output may be written.

        Args:
          path: The directory to leave, on a local or mounted filesystem.
          overwrite: Replaces a finished output; until the new one is complete it stays.
          marker: The file whose presence means that an output is finished.

        Raises:
          UsageError: If the output is finished and not to be replaced, or is something else.
        """
        self.path = Path(path).absolute()
        check_place(self.path)
        self.staging: Path
        self._marker = marker
        self._overwrite = overwrite
        self._staged = contextlib.ExitStack()
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(
                f"{path}: expected a directory or nothing, got a file; choose another path"
            )
        put_back(self.path)
        if (self.path / marker).exists() and not overwrite:
            raise UsageError(f"{path}: is finished already; add --overwrite to replace it")
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / marker).exists():
            raise UsageError(
                f"{path}: is not empty and has no {marker}, so it is not ours to replace; "
                "empty it or choose another directory"
            )

    def __enter__(self) -> OutputDirectory:
        self.staging = self._staged.enter_context(staging_beside(self.path))
        self.staging.mkdir()
        return self

    def __exit__(self, *exception: object) -> None:
        self._staged.close()

    def shared(self, *, apart: bool, paths: bool = True) -> str:
        """Returns what the job's workers and the command share: the staging directory, or a URI.

        Args:
          apart: Whether workers may be on other machines; it is a URI then where the output is one.
          paths: Whether they may see paths that the command sees.

        Raises:
          UsageError: If the store refuses, or workers could not see the output.
        """
        publication = publication_of(self.path)
        if publication is None and not paths:
            raise UsageError(
                f"--output {self.path}: the runner's workers see no disk of this machine; give a URI, such as "
                "gs://BUCKET/records"
            )
        if publication is None or not apart:
            return str(self.staging)
        return publication.shared_place()

    def take(self, files: Iterable[tuple[str, Part]]) -> None:
        """Has files that lie in the output's bucket be part of it, by their paths inside."""
        publication = publication_of(self.path)
        for path, part in files:
            if publication is not None and is_uri(part.path):
                publication.holds(path, part.path, FileEntry(part.bytes, part.sha256))

    def commit(self) -> None:
        """Puts the staged directory in place of the output.

        Raises:
          UsageError: If another job has finished the output meanwhile, and it is not to be replaced.
        """
        if not (self.staging / self._marker).exists():
            raise RuntimeError(f"{self.staging} has no {self._marker}: it is not complete")
        put_in_place(self.staging, self.path, replace=self._overwrite)

    def keep(self, name: str, destination: Path) -> None:
        """Moves one staged file or directory out, before the rest is removed."""
        if destination.exists():
            shutil.rmtree(destination)
        (self.staging / name).rename(destination)
