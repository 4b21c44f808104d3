"""An exported model's files: its description names each with size and SHA-256, and is written last.

    MODEL/assets.extra/skewless.json   {…, "files": {PATH: SHA-256}, "bytes": {PATH: size}, "sha256"}

`sha256` is of the description itself, so that neither a file nor the list of files can be of another
export, or cut, unseen. This finds copies that are not finished and files that were changed by
accident; it is no signature, since who can write files can write the list (docs/security.md).

Whatever opens a model checks it first. Beside the listed files only `assets.extra` may hold others,
which is where TensorFlow Serving looks for warm-up requests, and names that begin with a dot.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.layout import DESCRIPTION, EXTRA
from skewless.schemas.records.manifest import file_sha256
from skewless.schemas.staged import check_loadable

__all__ = [
    "check_exported",
    "differing_files",
    "load_description",
    "write_description",
]

_FILES, _BYTES, _OWN = "files", "bytes", "sha256"
_NAMED = 5
_LOGGER = logging.getLogger(__name__)


def write_description(directory: str | Path, document: Mapping[str, Any]) -> None:
    """Writes the description of an exported model, all of whose other files are there.

    Args:
      directory: The SavedModel.
      document: What there is to say beside the list of files.
    """
    root = Path(directory)
    paths = {path: root / path for path in _present(root)}
    described = {
        **document,
        _FILES: {path: file_sha256(file) for path, file in paths.items()},
        _BYTES: {path: file.stat().st_size for path, file in paths.items()},
    }
    text = json.dumps({**described, _OWN: _own_sha256(described)}, indent=2)
    (root / EXTRA / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def load_description(directory: str | Path) -> dict[str, Any]:
    """Reads the description of an exported model.

    Raises:
      UsageError: If there is none.
      DataError: If it is not as it was written.
    """
    root = Path(directory)
    path = root / EXTRA / DESCRIPTION
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{root}: expected a directory that `skewless export` left, found no "
            f"{EXTRA}/{DESCRIPTION}, which is written last; export again, or copy it whole"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}; {_REMEDY}") from error
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key, {}), dict) for key in (_FILES, _BYTES)
    ):
        raise DataError(f"{path}: expected what `skewless export` writes; {_REMEDY}")
    own = document.pop(_OWN, None)
    if own is not None and own != _own_sha256(document):
        raise DataError(f"{path}: is not as it was written; {_REMEDY}")
    return document


def check_exported(directory: str | Path) -> dict[str, Any]:
    """Checks every file of an exported model against its description, and returns that.

    A model exported before files were listed is told of, and opened unchecked.

    Raises:
      UsageError: If the directory is not one that `skewless export` left, or TensorFlow cannot load from there.
      DataError: If a file is missing, or not as exported, or not of this export.
    """
    description = load_description(directory)
    check_loadable(Path(directory))
    if _FILES not in description:
        _LOGGER.warning(
            "%s: was exported before files were listed, so they are not checked; export again",
            directory,
        )
        return description
    problems = differing_files(directory, description)
    if problems:
        told = "; ".join(f"{path} {what}" for path, what in list(problems.items())[:_NAMED])
        more = len(problems) - _NAMED
        raise DataError(f"{directory}: {told}{f'; and {more} more' if more > 0 else ''}; {_REMEDY}")
    return description


def differing_files(directory: str | Path, description: Mapping[str, Any]) -> dict[str, str]:
    """Returns what is wrong with the files of an exported model, by path; empty if nothing is.

    Sizes are looked at first: of a copy under way no byte is read in vain.
    """
    root = Path(directory)
    listed: dict[str, str] = description[_FILES]
    sizes: dict[str, int] = description.get(_BYTES, {})
    problems = {}
    for path in listed:
        try:
            size = (root / path).stat().st_size
        except OSError as error:
            problems[path] = f"cannot be read ({error.strerror})"
            continue
        if size != sizes.get(path, size):
            problems[path] = f"has {size} bytes of {sizes[path]}"
    for path in _present(root):
        if path not in listed and not path.startswith(f"{EXTRA}/"):
            problems[path] = "is not among the exported files"
    if problems:
        return problems
    for path, expected in listed.items():
        try:
            found = file_sha256(root / path)
        except OSError as error:
            problems[path] = f"cannot be read ({error.strerror})"
            continue
        if found != expected:
            problems[path] = "has other bytes than exported"
    return problems


_REMEDY = "copy the model whole, or export again"


def _present(root: Path) -> list[str]:
    """Returns all files of a model by their paths, but its description and hidden ones."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inner = Path(folder).relative_to(root)
        found += [(inner / name).as_posix() for name in names if not name.startswith(".")]
    return sorted(path for path in found if path != f"{EXTRA}/{DESCRIPTION}")


def _own_sha256(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
