"""What a command is: its words for people, its options, what it does, and what it leaves."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.commands.loading import no_garbage_collection, silent_standard_error

if TYPE_CHECKING:
    from skewless.schemas.spared_imports import Library

__all__ = ["Command"]


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Functions are named as `MODULE:FUNCTION`, and imported when they are called.

    Attributes:
      help: One line.
      options: Adds its options to a parser.
      work: Does what parsed arguments ask for and returns the exit code: `execute(arguments)`, or
        with `beam` `execute(arguments, beam_arguments)`.
      examples: Two command lines.
      left: Says what `left(output)` holds to go on with, where the command did not end.
      beam: Whether options it does not know are Beam's.
      libraries: What its modules import of the slow ones, in the order to load them.
    """

    help: str
    options: str
    work: str
    examples: tuple[str, str]
    left: str = ""
    beam: bool = False
    libraries: tuple[Library, ...] = ()

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Adds its own options, and imports nothing heavy for it."""
        _named(self.options)(parser)

    def run(self, known: argparse.Namespace, beam_arguments: Sequence[str]) -> int:
        """Loads what the command needs, and does it; returns the exit code."""
        from skewless.schemas.spared_imports import load_spared

        fresh = "tensorflow" not in sys.modules
        with silent_standard_error(known.verbose), no_garbage_collection():
            load_spared(self.libraries, clouds=_may_reach_clouds(known, beam_arguments))
            execute = _named(self.work)
        if fresh and "apache_beam" in self.libraries:
            # Worker processes are forked off what is loaded by now, and has not run.
            _named("skewless.beam_pipelines.running.local_worker:serve")()
        code: int = execute(known, beam_arguments) if self.beam else execute(known)
        return code

    def what_is_left(self, output: str) -> str:
        """Returns what a command that did not end leaves to go on with; empty for nothing."""
        return str(_named(self.left)(output)) if self.left else ""


def _named(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _may_reach_clouds(known: argparse.Namespace, beam_arguments: Sequence[str]) -> bool:
    """Whether an argument is a URI, or says anything to Beam that is not of a local job."""
    words = [*map(str, vars(known).values()), *beam_arguments]
    return any("://" in word for word in words) or any(
        word.startswith("--") and not word.startswith("--direct_") for word in beam_arguments
    )
