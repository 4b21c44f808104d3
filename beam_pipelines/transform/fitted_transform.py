"""A fitted transform that is applied again, and the declaration that lies beside one."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format

from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.layout import MANIFEST, SCHEMA, SPEC, TRANSFORM_FN
from skewless.schemas.records.manifest import load_manifest
from skewless.schemas.rows.raw_columns import raw_schema
from skewless.schemas.spec.spec import Spec

__all__ = ["check_fitted", "write_declaration"]


def check_fitted(spec: Spec, transform: Path, remedy: str) -> None:
    """Checks that `transform` is a fitted transform, and of this spec where that can be known.

    Args:
      spec: The declaration.
      transform: The `transform/` folder of a records directory.
      remedy: What to do about a transform of another spec, for the message.

    Raises:
      DatasetMismatchError: If it is no transform, or was fitted to another spec.
    """
    if not (transform / TRANSFORM_FN).is_dir():
        raise DatasetMismatchError(
            f"{transform}: expected the transform/ folder of a records directory (with transform_fn in it)"
        )
    root = transform.parent
    if (root / MANIFEST).is_file() and load_manifest(root).spec_sha256 != spec.sha256():
        raise DatasetMismatchError(
            f"{transform}: was fitted to another spec ({root / SPEC}); {remedy}"
        )


def write_declaration(spec: Spec, directory: Path) -> None:
    """Writes the spec as resolved, and the schema of the raw data, into a directory."""
    (directory / SPEC).write_text(spec.to_yaml(), encoding="utf-8")
    schema = text_format.MessageToString(raw_schema(spec))
    (directory / SCHEMA).write_text(schema, encoding="utf-8")
