"""The command line: options of all commands, each command's imported where it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from skewless.commands.table import COMMANDS
from skewless.schemas.options_parser import OptionsParser
from skewless.schemas.verbosity import verbosity

__all__ = ["VERSION", "command_line"]

VERSION = "0.1.0"


def command_line(words: Sequence[str], *, everything: bool = False) -> argparse.ArgumentParser:
    """Returns the command line, with the options of the command named only, or of all."""
    parser = OptionsParser(
        prog="skewless",
        description="Rows in, TFRecords and a trained model out, and a served model that carries "
        "the very transform the records came from.",
    )
    parser.add_argument("--version", action="version", version=f"skewless {VERSION}")
    parser.set_defaults(verbose=False, quiet=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    asked = next((word for word in words if word in COMMANDS), None)
    for name, command in COMMANDS.items():
        examples = "\n".join(f"  {example}" for example in command.examples)
        child = commands.add_parser(
            name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        verbosity(child)
        if name == asked or everything:
            command.add_options(child)
    return parser
