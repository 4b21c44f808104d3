"""An output directory that is either complete or not there.

A job writes into a hidden directory beside its output, which takes the output's place in one
rename once everything, the manifest last, is in it. A killed job leaves only the hidden
directory; the next job for the same output removes it. Killed between the two renames of an
overwrite, it leaves the old output aside; the next job first puts that back.
"""

from __future__ import annotations

import glob
import os
import shutil
import uuid
from pathlib import Path

from skewless.schemas.errors import UsageError

__all__ = ["OutputDirectory"]

_OLD = ".old.partial"


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
        self._marker = marker
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{path}: expected a directory or nothing, got a file")
        self._put_back()
        if (self.path / marker).exists() and not overwrite:
            raise UsageError(f"{path}: is finished already; add --overwrite to replace it")
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / marker).exists():
            raise UsageError(
                f"{path}: is not empty and has no {marker}, so it is not ours to replace; "
                "empty it or choose another directory"
            )
        self.staging = self.path.with_name(
            f".{self.path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial"
        )

    def __enter__(self) -> OutputDirectory:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._remove_stale()
        self.staging.mkdir()
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self.staging, ignore_errors=True)

    def commit(self) -> None:
        """Puts the staged directory in place of the output."""
        if not (self.staging / self._marker).exists():
            raise RuntimeError(f"{self.staging} has no {self._marker}: it is not complete")
        if self.path.exists():
            old = self.staging.with_suffix(_OLD)
            self.path.rename(old)
            self.staging.rename(self.path)
            shutil.rmtree(old)
        else:
            self.staging.rename(self.path)

    def keep(self, name: str, destination: Path) -> None:
        """Moves one staged file or directory out, before the rest is removed."""
        if destination.exists():
            shutil.rmtree(destination)
        (self.staging / name).rename(destination)

    def _put_back(self) -> None:
        """Undoes half of an overwrite: its old output stands aside and nothing is in its place."""
        if self.path.exists():
            return
        for old in self._stale():
            if old.name.endswith(_OLD) and (old / self._marker).exists():
                old.rename(self.path)
                return

    def _remove_stale(self) -> None:
        for stale in self._stale():
            shutil.rmtree(stale, ignore_errors=True)

    def _stale(self) -> list[Path]:
        """Returns what killed jobs for the same output left, not what a live one is writing."""
        prefix = f".{self.path.name}."
        found = self.path.parent.glob(f"{glob.escape(prefix)}*.partial")
        owned = [(path, path.name.removeprefix(prefix).split("-")[0]) for path in found]
        return [path for path, owner in owned if not (owner.isdigit() and _alive(int(owner)))]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
