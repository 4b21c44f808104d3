"""A parser of command lines whose errors name the option that was meant, and a type of options."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from skewless.schemas.errors import nearest

__all__ = ["OptionsParser", "share_of_rows"]


class OptionsParser(argparse.ArgumentParser):
    """Tells of a missing required option which misspelt one was probably meant for it.

    argparse looks for required options before it tells of unknown ones, so `--ouput DIR` would be
    answered by "--output is required" alone.
    """

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Keeps the words for `error`; refuses `--NAME` for what is given without an option."""
        if args is not None:
            self._words = [str(word) for word in args]
        known, unknown = super().parse_known_args(args, namespace)
        for option in self._options(unknown):
            if option in self._given_bare:
                self.error(f"{option} is unknown{self._meant(option)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Prints usage and message, and ends with exit code 2."""
        if "are required" in message:
            for option in self._options(self._words):
                if option not in self._option_string_actions:
                    message += f"; {option} is unknown{self._meant(option)}"
        super().error(message)

    @staticmethod
    def _options(words: Iterable[str]) -> list[str]:
        names = [word.split("=")[0] for word in words]
        return [name for name in names if name.startswith("--") and len(name) > 2]

    @property
    def _given_bare(self) -> dict[str, str]:
        """What stands alone on the command line, as if it were an option, and as usage shows it."""
        return {
            f"--{action.dest.replace('_', '-')}": str(action.metavar or action.dest)
            for action in self._actions
            if not action.option_strings and action.nargs != argparse.PARSER
        }

    def _meant(self, option: str) -> str:
        shown = self._given_bare.get(option)
        if shown is not None:
            return f"; give {shown} without an option: {self.prog} {shown} …"
        return nearest(option, self._option_string_actions)


def share_of_rows(text: str) -> float:
    """Returns the share that an option says, for argparse's `type`."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(
            f"expected a share from 0 to 1, such as 0.05, got {text!r}"
        )
    return share
