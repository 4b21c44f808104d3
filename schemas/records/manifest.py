"""The manifest: written last into a records directory, and what makes it a data set.

`OUT/manifest.json` names every shard with its rows, bytes and digest, the shape of every
record entry, and the digests of the spec and of the transform graph the records came from.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.layout import MANIFEST

__all__ = [
    "FeatureEntry",
    "Manifest",
    "Rows",
    "Shard",
    "SplitEntry",
    "file_sha256",
    "load_manifest",
]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Shard(_Entry):
    """One TFRecord file; `path` is relative to the records directory."""

    path: str
    rows: int
    bytes: int
    sha256: str


class SplitEntry(_Entry):
    """All shards of a split."""

    rows: int
    bytes: int
    shards: tuple[Shard, ...]


class Rows(_Entry):
    """The accounting of a job: read = written + rejected + duplicate."""

    read: int
    written: int
    rejected: int
    duplicate: int


class FeatureEntry(_Entry):
    """One record entry; for integers, IDs lie in [0, cardinality).

    Attributes:
      edges: Of numbers with a piecewise-linear embedding: [width, bins + 1] edges of bins,
        ascending, in the unit that records hold. The last but one may occur several times.
    """

    dtype: Literal["int64", "float32", "string"]
    shape: tuple[int, ...]
    cardinality: int | None = None
    vocabulary_size: int | None = None
    edges: tuple[tuple[float, ...], ...] | None = None


class Manifest(_Entry):
    """What `manifest.json` holds."""

    version: int = 1
    spec_sha256: str
    transform_sha256: str
    rows: Rows
    splits: dict[str, SplitEntry]
    features: dict[str, FeatureEntry]
    compression: Literal["none", "gzip"] = "none"
    # 1: a record is a row. More: it holds up to so many (schemas/records/records.py says how).
    rows_per_record: Annotated[int, Field(ge=1)] = 1
    # What rows without a key were split by: all that they hold, or before that the columns read.
    identity: Literal["columns", "contents"] = "columns"
    seconds: dict[str, float] = {}
    runner: str = ""
    # The files that rows came from, in the order of the input: names, or URIs; of a table its snapshot.
    sources: tuple[str, ...] = ()
    versions: dict[str, str] = {}

    def to_json(self) -> str:
        """Returns the file's text."""
        return self.model_dump_json(indent=2) + "\n"


def load_manifest(directory: str | Path) -> Manifest:
    """Reads the manifest of a records directory.

    Raises:
      DatasetMismatchError: If there is none, or it is not one of ours.
    """
    path = Path(directory) / MANIFEST
    if not path.is_file():
        raise DatasetMismatchError(
            f"{directory}: no {MANIFEST}, so this is not a finished data set; "
            "run `skewless preprocess SPEC --input GLOB --output DIR` to its end"
        )
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise DatasetMismatchError(
            f"{path}: not a manifest of this version: {error}; preprocess again"
        ) from error


def file_sha256(path: Path) -> str:
    """Returns the digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()
