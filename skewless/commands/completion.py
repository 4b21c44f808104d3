"""`completion`: a script that completes commands, options and files in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from skewless.commands.parser import command_line

__all__ = ["execute", "options"]

# Arguments and options that take a path, by metavar or name.
_PATHS = frozenset(
    {
        "DIR",
        "RUN",
        "MODEL",
        "DIR|RUN",
        "DIR|MODEL",
        "SPEC",
        "OUT",
        "FILE",
        "DATA",
        "GLOB",
        "[SPLIT=]GLOB",
        "memory|FILE",
        "WINDOWS",
        "RECORDS",
        "spec",
    }
)


def options(parser: argparse.ArgumentParser) -> None:
    """Adds the shell."""
    parser.add_argument("shell", choices=("bash", "zsh"), help="whose script to print")


def execute(known: argparse.Namespace) -> int:
    """Prints the script that shtab writes for the whole command line."""
    import shtab

    parser = command_line([], everything=True)
    for action in _actions(parser):
        if action.choices is None and {action.metavar, action.dest} & _PATHS:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, known.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _actions(child)
