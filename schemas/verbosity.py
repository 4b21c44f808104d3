"""How much a command tells: `-v`, `--quiet`, and whose log lines are shown."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from typing import TextIO

__all__ = ["quieten", "verbosity"]


def verbosity(parser: argparse.ArgumentParser) -> None:
    """Adds how much a command tells."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="tell more; tracebacks on errors"
    )
    parser.add_argument("--quiet", action="store_true", help="tell only errors and results")


def quieten(verbose: bool, quiet: bool) -> None:
    """Leaves our own lines standing alone: TensorFlow, Beam and absl talk below warnings."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    warnings.simplefilter("default" if verbose else "ignore")
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR,
        format="%(message)s",
        handlers=[_StandardError()],
    )
    # One line for each annotation of Beam's that is a string, of no use to anybody here.
    noisy = "apache_beam.typehints.native_type_compatibility"
    logging.getLogger(noisy).setLevel(logging.WARNING)
    if not verbose:
        # It writes the traceback of each error of a worker, which the command tells in a line.
        logging.getLogger("apache_beam.runners.worker").setLevel(logging.CRITICAL)
    logging.getLogger("skewless").setLevel(logging.WARNING if quiet else logging.INFO)


class _StandardError(logging.StreamHandler):
    """Writes to what `sys.stderr` is at the time, so that lines go above a live one."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """Where the next line goes."""
        return sys.stderr
