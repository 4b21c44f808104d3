"""The end of a command: done, refused, failed or interrupted, told in a line on standard error.

Every command ends here, however it was started: `skewless COMMAND`, or `python -m` and its module.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from skewless.schemas.errors import SkewlessError
from skewless.schemas.interrupts import Interruption, interruptible
from skewless.schemas.options_parser import OptionsParser
from skewless.schemas.staged import own_temporary_files, remove_staged
from skewless.schemas.storage.arguments import at_hand
from skewless.schemas.unexpected import told
from skewless.schemas.verbosity import quieten, verbosity

__all__ = ["ended", "run_module"]


def ended(
    name: str,
    work: Callable[[], int],
    *,
    verbose: bool = False,
    output: str | None = None,
    left: Callable[[], str] = str,
) -> int:
    """Does the work of a command; returns the exit code, with what went wrong told.

    Args:
      name: The command, as the line begins.
      work: Returns the exit code.
      verbose: Prints tracebacks as well.
      output: What the command writes, for errors of the system that name no path.
      left: Gives what an interrupted or failed command leaves to go on with; empty for nothing.
    """

    def interrupted() -> None:
        remove_staged()
        text = left() or "nothing half-written is left"
        # On a terminal, after ^C and with the cursor that a live line hides. Not print: a thread
        # that holds the stream may be stuck.
        begin = "\n\x1b[?25h" if os.isatty(2) else ""
        os.write(2, f"{begin}{name}: interrupted; {text}\n".encode())

    interruption = Interruption(interrupted, verbose=verbose)
    with interruptible(interruption):
        try:
            with own_temporary_files():
                return work()
        except (Exception, KeyboardInterrupt) as error:
            # What libraries make of an interruption may be any error.
            if interruption.signal:
                interruption.finish()
                return interruption.exit_code
            if isinstance(error, BrokenPipeError | KeyboardInterrupt):
                raise
            if verbose:
                traceback.print_exc()
            unfinished = "" if isinstance(error, SkewlessError) else left()
            line = told(error, output) + (f". {unfinished}" if unfinished else "")
            print(f"{name}: {line}", file=sys.stderr)
            return error.exit_code if isinstance(error, SkewlessError) else 1


def run_module(
    module: str,
    options: Callable[[argparse.ArgumentParser], None],
    execute: Callable[..., int],
    argv: Sequence[str] | None,
    *,
    description: str | None = None,
    beam: bool = False,
    left: Callable[[argparse.Namespace], str] = lambda known: "",
) -> int:
    """Runs a command as a module; returns its exit code.

    Args:
      module: Its name, as `python -m` takes it.
      options: Adds the command's own.
      execute: Does what parsed arguments ask for; with `beam`, takes the other arguments as well.
      argv: The command line, or None for the process' own.
      description: For `--help`.
      beam: Whether options it does not know are Beam's.
      left: As `ended` takes it, of the parsed arguments.
    """
    parser = OptionsParser(prog=f"python -m {module}", description=description)
    verbosity(parser)
    options(parser)
    known, others = parser.parse_known_args(argv) if beam else (parser.parse_args(argv), [])
    quieten(known.verbose, known.quiet)

    def work() -> int:
        with at_hand(module.rpartition(".")[2], known) as here:
            return execute(here, others) if beam else execute(here)

    return ended(
        f"python -m {module}",
        work,
        verbose=known.verbose,
        output=getattr(known, "output", None),
        left=lambda: left(known),
    )
