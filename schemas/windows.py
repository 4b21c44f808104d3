"""Windows of records: what `stream` leaves and `train --follow` takes up.

    DIR/transform/  DIR/spec.yaml  DIR/schema.pbtxt          as in a records directory
    DIR/window=2026-01-01T00:00:00Z/part-00000-of-00001.tfrecord  rejected/…  manifest.json
    DIR/window=2026-01-01T00:00:00Z/pane=1/…                      rows that came late, later still 2, …

Each pane is a folder with a manifest of its own, which is written last and never changed.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import DatasetMismatchError
from schemas.manifest import MANIFEST, FeatureEntry, Rows, Shard

__all__ = ["WindowManifest", "finished_panes", "pane_folder"]

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


def pane_folder(start: datetime, pane: int) -> str:
    """Returns the folder of a pane, relative to the directory of windows."""
    window = f"window={start.astimezone(timezone.utc).strftime(_TIME)}"
    return window if pane == 0 else f"{window}/pane={pane}"


def finished_panes(directory: str | Path) -> list[tuple[str, WindowManifest]]:
    """Returns folders, relative to `directory`, and manifests of finished panes, oldest first.

    Raises:
      DatasetMismatchError: If a manifest is not one of ours.
    """
    found = []
    for path in Path(directory).glob(f"window=*/**/{MANIFEST}"):
        try:
            manifest = WindowManifest.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise DatasetMismatchError(
                f"{path}: not a window's manifest of this version: {error}"
            ) from error
        found.append((path.parent.relative_to(directory).as_posix(), manifest))
    return sorted(found, key=lambda entry: (entry[1].start, entry[1].pane))
