"""Windows of records: what `stream` leaves and `train --follow` takes up.

    DIR/transform/  DIR/spec.yaml  DIR/schema.pbtxt          as in a records directory
    DIR/window=2026-01-01T00:00:00Z/part-00000-of-00001.tfrecord  rejected/…  raw/…  manifest.json
    DIR/window=2026-01-01T00:00:00Z/pane=1/…                      rows that came late, later still 2, …

Each pane is a folder with a manifest of its own, which is written last and never changed. `raw/`
may hold raw rows as Parquet, as in a records directory: parity can be proved on such a pane.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.layout import MANIFEST
from skewless.schemas.records.manifest import FeatureEntry, Manifest, Rows, Shard, SplitEntry

__all__ = [
    "WindowManifest",
    "finished_panes",
    "load_pane",
    "pane_folder",
    "windows_directory",
]

_TIME = "%Y-%m-%dT%H:%M:%SZ"


class WindowManifest(BaseModel):
    """What the `manifest.json` of a pane holds; paths of shards are relative to the pane's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    # Names the writing, so that one tried again knows its own work.
    id: str = ""
    start: datetime
    end: datetime
    # 0: what was there when the window closed. More: rows that came late.
    pane: Annotated[int, Field(ge=0)]
    spec_sha256: str
    transform_sha256: str
    rows: Rows
    shards: tuple[Shard, ...]
    features: dict[str, FeatureEntry]
    compression: Literal["none", "gzip"] = "none"
    statistics: dict[str, Any] = {}
    drift: dict[str, Any] = {}
    versions: dict[str, str] = {}

    def as_records(self) -> Manifest:
        """Returns the manifest of a records directory whose training split is this pane."""
        split = SplitEntry(
            rows=sum(shard.rows for shard in self.shards),
            bytes=sum(shard.bytes for shard in self.shards),
            shards=self.shards,
        )
        return Manifest(
            spec_sha256=self.spec_sha256,
            transform_sha256=self.transform_sha256,
            rows=self.rows,
            splits={"train": split},
            features=self.features,
            compression=self.compression,
            versions=self.versions,
        )


def pane_folder(start: datetime, pane: int) -> str:
    """Returns the folder of a pane, relative to the directory of windows."""
    window = f"window={start.astimezone(timezone.utc).strftime(_TIME)}"
    return window if pane == 0 else f"{window}/pane={pane}"


def windows_directory(folder: str | Path) -> Path | None:
    """Returns the directory of windows that a pane's folder is in; None if it is no pane."""
    path = Path(folder).absolute()
    for window in (path, path.parent):
        if window.name.startswith("window="):
            return window.parent
    return None


def finished_panes(
    directory: str | Path, known: Collection[str] = ()
) -> list[tuple[str, WindowManifest]]:
    """Returns folders, relative to `directory`, and manifests of finished panes, oldest first.

    Args:
      directory: The directory of windows.
      known: Folders that are left out, unread.

    Raises:
      DatasetMismatchError: If a manifest is not one of ours.
    """
    found = []
    for path in Path(directory).glob(f"window=*/**/{MANIFEST}"):
        folder = path.parent.relative_to(directory).as_posix()
        if folder not in known:
            found.append((folder, load_pane(path.parent)))
    return sorted(found, key=lambda entry: (entry[1].start, entry[1].pane))


def load_pane(folder: str | Path) -> WindowManifest:
    """Reads the manifest of one pane.

    Raises:
      DatasetMismatchError: If there is none, so that the pane is not finished, or it is not one
        of ours.
    """
    path = Path(folder) / MANIFEST
    try:
        return WindowManifest.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetMismatchError(
            f"{folder}: no {MANIFEST}, so this window is not finished; wait for `skewless stream`"
        ) from error
    except ValidationError as error:
        raise DatasetMismatchError(
            f"{path}: not a window's manifest of this version: {error}; stream into a new directory"
        ) from error
