"""The options of each model command, apart from them so that `--help` imports nothing heavy."""

from __future__ import annotations

import argparse

__all__ = [
    "evaluate",
    "export",
    "report",
    "train",
    "verify",
]


def train(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("records", nargs="?", metavar="DIR", help="the records directory")
    parser.add_argument("--output", required=True, metavar="RUN", help="the run directory to leave")
    parser.add_argument("--spec", help="a spec with other model and training sections")
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of training.epochs")
    parser.add_argument("--resume", action="store_true", help="continue a stopped run")
    parser.add_argument(
        "--warm-start",
        metavar="RUN",
        help="begin with the weights of this finished run, whose IDs the records keep "
        "(preprocess --grow-from RUN/transform)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a run")
    parser.add_argument(
        "--cache", metavar="memory|FILE", help="keep records in memory or in a file"
    )
    parser.add_argument(
        "--checkpoint-steps",
        type=int,
        default=500,
        metavar="N",
        help="steps between checkpoints within an epoch (default: %(default)s)",
    )
    following = parser.add_argument_group("windows of a stream, trained on as they finish")
    following.add_argument(
        "--follow", metavar="DIR", help="what `skewless stream` leaves, instead of records"
    )
    following.add_argument(
        "--poll",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="time between looks for a finished window (default: %(default)s)",
    )
    following.add_argument(
        "--max-windows", type=int, metavar="N", help="end after so many, those before --resume too"
    )
    following.add_argument(
        "--idle-timeout",
        type=float,
        metavar="SECONDS",
        help="end when no window finishes for so long (default: never)",
    )
    following.add_argument(
        "--export-to",
        metavar="DIR",
        help="export versions DIR/1, DIR/2, … which TensorFlow Serving takes up by itself",
    )
    following.add_argument(
        "--export-every", type=int, metavar="N", help="windows between versions (default: 1)"
    )
    following.add_argument(
        "--prove-on",
        metavar="DIR",
        help="records of the same transform to prove parity on, where windows keep no raw rows",
    )
    following.add_argument(
        "--no-verify", action="store_true", help="export without the parity proof"
    )


def evaluate(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("run", metavar="RUN", help="the run directory")
    parser.add_argument("--records", required=True, metavar="DIR", help="the records directory")
    parser.add_argument("--split", choices=("train", "eval", "test"), default="eval")
    parser.add_argument(
        "--slice",
        action="append",
        default=[],
        metavar="COLUMN",
        help="also by the values of this raw column; repeat for more",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def export(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("run", metavar="RUN", help="the run directory")
    parser.add_argument("--output", required=True, metavar="MODEL", help="the SavedModel to leave")
    parser.add_argument("--records", metavar="DIR", help="the records, if they were moved")
    parser.add_argument("--overwrite", action="store_true", help="replace what is at the output")
    parser.add_argument("--no-verify", action="store_true", help="export without the parity proof")


def report(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument(
        "directories",
        nargs="+",
        metavar="DIR|RUN",
        help="records directories and runs; a run brings its records along",
    )
    parser.add_argument(
        "-o",
        "--output",
        default="report.html",
        metavar="FILE",
        help="the page to write (default: %(default)s)",
    )


def verify(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("model", metavar="MODEL", help="what `skewless export` left")
    parser.add_argument("--records", required=True, metavar="DIR", help="the records directory")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[SPLIT=]GLOB",
        help="the files the records came from; without it, the raw rows kept beside the records",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
