"""A parser of command lines whose errors name the option that was meant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from skewless.schemas.errors import nearest

__all__ = ["OptionsParser"]


class OptionsParser(argparse.ArgumentParser):
    """Tells of a missing required option which misspelt one was probably meant for it.

    argparse looks for required options before it tells of unknown ones, so `--ouput DIR` would be
    answered by "--output is required" alone.
    """

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Keeps the words for `error`."""
        if args is not None:
            self._words = [str(word) for word in args]
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Prints usage and message, and ends with exit code 2."""
        if "are required" in message:
            known = list(self._option_string_actions)
            for word in self._words:
                option = word.split("=")[0]
                if option.startswith("--") and len(option) > 2 and option not in known:
                    message += f"; {option} is unknown{nearest(option, known)}"
        super().error(message)
