"""The source of a spec's own function, sent to workers that do not have it.

What is sent is the function's module, and the modules and packages of one's own that it imports:
whole top-level ones, as they lie on the command's machine. What is installed is not sent; workers have
it installed too.

    SHARED/…/sources/my_module.py   my_package/__init__.py …
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from skewless.schemas.errors import SpecError
from skewless.schemas.records.manifest import file_sha256
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.between.files import folder_at_hand, leave_folder

__all__ = ["have_sources", "leave_sources"]

_LOGGER = logging.getLogger(__name__)
_FOLDER = "sources"
# Code and what lies beside it in a package; more than that is data, or somebody's home.
_MOST_BYTES = 32 << 20
_IMPORTING = threading.Lock()
# The folders of `sources` that this process imports from.
_AT_HAND: dict[str, str] = {}


def leave_sources(spec: Spec, place: str) -> str:
    """Leaves the source of the spec's own function for workers; returns the name of its folder.

    Args:
      spec: The declaration; it has a function of its own, which is imported here.
      place: The path or URI of what workers and command share.

    Raises:
      SpecError: If what is to be sent is no source, or too much.
    """
    sources = _sources(spec)
    if sources:
        _LOGGER.info(
            "preprocessing: %s goes to workers with %s", spec.preprocessing, ", ".join(sources)
        )

    def write(folder: str) -> None:
        os.makedirs(folder)
        for source in sources.values():
            target = os.path.join(folder, source.name)
            if source.is_dir():
                shutil.copytree(source, target, ignore=_left_out)
            else:
                shutil.copy(source, target)

    left = leave_folder(place, _FOLDER, write)
    _AT_HAND[left] = ""  # This process has imported them from where they lie.
    return left


def have_sources(folder: str) -> None:
    """Makes what `leave_sources` left importable in this process.

    A worker may have served a job with another version of it before, which is forgotten then.

    Raises:
      UsageError, DataError: If it cannot be fetched.
    """
    with _IMPORTING:
        if folder in _AT_HAND:
            return
        here = folder_at_hand(folder)
        for entry in sorted(Path(here).iterdir()):
            _forget_others(entry)
        for earlier in _AT_HAND.values():
            if earlier in sys.path:
                sys.path.remove(earlier)
        sys.path.insert(0, here)
        _AT_HAND[folder] = here
        importlib.invalidate_caches()


def _forget_others(entry: Path) -> None:
    """Has a top-level module imported anew, unless it was imported from the same files."""
    name = entry.stem
    loaded = sys.modules.get(name)
    if loaded is None or _is_same(entry, loaded):
        return
    for module in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
        del sys.modules[module]


def _is_same(entry: Path, loaded: object) -> bool:
    there = _place(getattr(loaded, "__spec__", None))
    if there is None or there.is_dir() != entry.is_dir():
        return False
    if entry.is_file():
        return file_sha256(there) == file_sha256(entry)
    ours, theirs = ({path.relative_to(at): path for path in _files(at)} for at in (entry, there))
    return ours.keys() == theirs.keys() and all(
        file_sha256(ours[path]) == file_sha256(theirs[path]) for path in ours
    )


def _sources(spec: Spec) -> dict[str, Path]:
    """Returns the files and folders to send, by the name that they are imported by."""
    assert spec.preprocessing is not None
    waiting = [spec.preprocessing.partition(":")[0].partition(".")[0]]
    found: dict[str, Path] = {}
    total = 0
    while waiting:
        name = waiting.pop()
        place = None if name in found else _own(name)
        if place is None:
            continue
        found[name] = place
        files = [place] if place.is_file() else list(_files(place))
        total += sum(path.stat().st_size for path in files)
        if total > _MOST_BYTES:
            raise SpecError(
                f"preprocessing: {spec.preprocessing} imports {name}, and {place} holds more than "
                f"{_MOST_BYTES >> 20} MiB, too much to send to workers; move the function into a module "
                "or package that holds code alone, or install that one on workers and here"
            )
        code = [path for path in files if path.suffix == ".py"]
        if not code:
            raise SpecError(
                f"preprocessing: {spec.preprocessing} imports {name} from {place}, which is no Python "
                "source to send to workers; install it on workers and here"
            )
        waiting += sorted({top for path in code for top in _imported_by(path)} - set(found))
    return found


def _own(name: str) -> Path | None:
    """Returns where a top-level module or package of one's own lies; None of one that is installed."""
    if name in sys.stdlib_module_names or name in _installed():
        return None
    try:
        return _place(importlib.util.find_spec(name))
    except (ImportError, ValueError):
        # Not to be had here either: what imports it does without.
        return None


def _place(spec: object) -> Path | None:
    """Returns the file of a module, or the folder of a package."""
    folders = list(getattr(spec, "submodule_search_locations", None) or ())
    if folders:
        return Path(folders[0])
    origin = getattr(spec, "origin", None)
    return Path(origin) if origin and os.path.isfile(origin) else None


@functools.cache
def _installed() -> frozenset[str]:
    return frozenset({"skewless", *importlib.metadata.packages_distributions()})


def _imported_by(path: Path) -> Iterator[str]:
    """Yields the top-level names that a file imports, also within functions."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError):
        return  # A template, or of another Python: nobody can have imported it here.
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _files(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        left = _left_out(at, [*folders, *names])
        folders[:] = sorted(set(folders) - left)
        yield from (Path(at, name) for name in sorted(set(names) - left))


def _left_out(_: object, names: list[str]) -> set[str]:
    return {name for name in names if name.startswith(".") or name == "__pycache__"}
