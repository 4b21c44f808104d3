"""The arguments of a command: every URI among them becomes a path before the command sees it."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any

from skewless.schemas.errors import UsageError
from skewless.schemas.storage.fetched import fetched, fetched_file
from skewless.schemas.storage.leaving import leaving, leaving_file, stand_in
from skewless.schemas.storage.location import as_path, is_uri
from skewless.schemas.storage.mirrored import mirrored

__all__ = ["at_hand"]

_DIRECTORIES = (
    "directories",
    "grow_from",
    "histories_from",
    "model",
    "prove_on",
    "records",
    "run",
    "transform",
    "warm_start",
)
_FILES = ("spec",)
_LEAVE_DIRECTORY = ("compare", "export", "index", "predict", "preprocess", "run", "train")
_LEAVE_FILE = ("init", "report")
# What is read by rows (beam_pipelines/sources), or is a URI of something else.
_OF_THEIR_OWN = frozenset(
    {"command", "data", "drift_webhook", "input", "queries", "source", "track"}
)
# Windows and the models that are trained on them come and go one by one; records are fetched as they are
# trained on.
_PIECEMEAL = {
    "stream": frozenset({"output"}),
    "train": frozenset({"export_to", "follow", "records"}),
}


@contextlib.contextmanager
def at_hand(command: str, known: argparse.Namespace) -> Iterator[argparse.Namespace]:
    """Gives the arguments with paths for URIs, and puts what the command left at its URI.

    Args:
      command: Its name.
      known: Its arguments; they stay as they are.

    Raises:
      UsageError: If a URI cannot be used, or this argument takes none: before any work.
      DataError: If what lies at a URI is not as it was left.
    """
    if not any(is_uri(value) for values in vars(known).values() for value in _listed(values)):
        yield known
        return
    here = argparse.Namespace(**vars(known))
    with contextlib.ExitStack() as stack:
        # Whether the output may be written is found out before anything is fetched.
        theirs = _OF_THEIR_OWN | _PIECEMEAL.get(command, frozenset())
        if is_uri(getattr(here, "output", None)) and "output" not in theirs:
            here.output = _output(command, here, stack)
        if command == "preprocess" and is_uri(here.cache):
            here.cache = str(stack.enter_context(mirrored(here.cache)))
        for name, values in vars(here).items():
            if name in _DIRECTORIES:
                setattr(here, name, _each(values, fetched))
            elif name in _FILES:
                setattr(here, name, _each(values, fetched_file))
            elif name not in theirs:
                setattr(here, name, _each(values, lambda uri, name=name: _local_only(name, uri)))
        yield here


def _output(command: str, here: argparse.Namespace, stack: contextlib.ExitStack) -> str:
    if getattr(here, "dry_run", False):
        return str(stand_in(here.output))  # Nothing will be written.
    if command in _LEAVE_FILE:
        return str(stack.enter_context(leaving_file(here.output)))
    if command in _LEAVE_DIRECTORY:
        # Comparing takes finished runs as they are; following goes on with a run that had ended.
        followed = getattr(here, "follow", None) is not None
        left = leaving(
            here.output,
            overwrite=getattr(here, "overwrite", False),
            resumable=command == "train",
            going_on=command == "compare" or (followed and here.resume),
        )
        return str(stack.enter_context(left))
    return here.output


def _local_only(name: str, uri: str) -> str:
    path = as_path(uri)
    if path is None:
        raise UsageError(
            f"--{name.replace('_', '-')} {uri}: expected a path; here a URI is not taken yet "
            "(docs/storage.md)"
        )
    return str(path)


def _each(values: Any, change: Any) -> Any:
    if isinstance(values, list):
        return [_each(value, change) for value in values]
    return str(change(values)) if is_uri(values) else values


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]
