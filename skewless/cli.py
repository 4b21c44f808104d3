"""The command line: parses, imports late, calls the jobs.

`skewless --help` must answer in under half a second, so nothing heavy is imported before a
command is known; and only Python's own modules before Ctrl-C ends the process without a traceback.
Exit codes: 0 done, 1 the data or a check failed, 2 wrong use, 130 or 143 interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import itertools
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["entry_point", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    from skewless.commands.parser import command_line
    from skewless.commands.table import COMMANDS
    from skewless.schemas.ending import ended
    from skewless.schemas.errors import UsageError, nearest
    from skewless.schemas.storage.arguments import at_hand
    from skewless.schemas.verbosity import quieten

    arguments = _command_first(sys.argv[1:] if argv is None else argv)
    first = next(iter(arguments), "")
    if first and not first.startswith("-") and first not in COMMANDS:
        hint = nearest(first, COMMANDS)
        print(f"skewless: no command {first!r}{hint}; see `skewless --help`", file=sys.stderr)
        return 2
    parser = command_line(arguments)
    known, unknown = parser.parse_known_args(arguments)
    if known.command is None:
        parser.print_help()
        return 2
    quieten(known.verbose, known.quiet)
    command = COMMANDS[known.command]

    def work() -> int:
        if unknown and not command.beam:
            raise UsageError(_unknown(unknown[0], known))
        with at_hand(known.command, known) as here:
            return command.run(here, unknown)

    return ended(
        f"skewless {known.command}",
        work,
        verbose=known.verbose,
        output=getattr(known, "output", None),
        left=lambda: command.what_is_left(getattr(known, "output", "")),
    )


def _command_first(words: Sequence[str]) -> list[str]:
    """Returns the words with options that stand before the command, as in `-v train`, behind it."""
    from skewless.commands.table import COMMANDS

    before = list(itertools.takewhile(lambda word: word.startswith("-"), words))
    rest = list(words[len(before) :])
    return [rest[0], *before, *rest[1:]] if rest and rest[0] in COMMANDS else [*words]


def _unknown(option: str, known: argparse.Namespace) -> str:
    from skewless.schemas.errors import nearest

    valid = [f"--{name.replace('_', '-')}" for name in vars(known)]
    return f"unknown option {option}{nearest(option, valid)}; see `skewless {known.command} --help`"


def _open_standard_streams() -> None:
    """Opens what the caller closed, as `>&-` does, on nothing: the next file would get its number.

    What libraries print would then be written into that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is the one that was closed.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: SIM115


def entry_point() -> None:
    """Runs the command and leaves at once.

    A segmentation fault was seen at interpreter exit after success, in garbage collection of
    TensorFlow's and Arrow's threads; what is flushed by then is all that matters.
    """
    _open_standard_streams()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # Until a command runs nothing is to be told of, or cleaned up, after Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        try:
            code: Any = main()
        except SystemExit as ended:  # argparse's, after --help, --version or wrong use.
            code = ended.code or 0
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads, such as `head`, has seen enough; shells tell it by this code.
        code = 128 + signal.SIGPIPE
    # Beam's job server, a process of Java, is ended so.
    atexit._run_exitfuncs()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    entry_point()
