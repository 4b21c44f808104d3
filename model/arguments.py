"""The options of each model command, apart from them so that `--help` imports nothing heavy."""

from __future__ import annotations

import argparse
import re

from skewless.model.option_rules import OptionRule

__all__ = [
    "TRAIN_RULES",
    "compare",
    "evaluate",
    "export",
    "report",
    "train",
    "verify",
]


# Windows of a stream are trained on as records are, but for these.
TRAIN_RULES = (
    OptionRule(
        ("max_windows", "idle_timeout", "export_every", "export_to", "prove_on"),
        other="follow",
        beside=True,
        remedy="goes with --follow DIR",
    ),
    OptionRule(
        ("records", "epochs", "minutes", "cache", "shard_cache"),
        other="follow",
        beside=False,
        remedy="has no meaning with --follow, which sees each window once; leave it out",
    ),
    OptionRule(
        ("track",), other="follow", beside=False, remedy="does not go with --follow; leave it out"
    ),
    OptionRule(
        ("export_every",), other="export_to", beside=True, remedy="expected --export-to DIR as well"
    ),
)


def train(parser: argparse.ArgumentParser) -> None:
    """Adds the records to train on, or the windows to follow, and how."""
    parser.add_argument("records", nargs="?", metavar="DIR", help="the records directory")
    parser.add_argument("--output", required=True, metavar="RUN", help="the run directory to leave")
    parser.add_argument("--spec", help="a spec with other model and training sections")
    _epochs(parser)
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="begin no epoch that would end later than this, those before --resume counted too",
    )
    parser.add_argument("--resume", action="store_true", help="continue a stopped run")
    parser.add_argument(
        "--shard-cache",
        type=_bytes,
        metavar="SIZE",
        help="how much of records in a bucket is kept on this machine, such as 500M (default: 20G)",
    )
    parser.add_argument(
        "--warm-start",
        metavar="RUN",
        help="begin with the weights of this finished run, whose IDs the records keep "
        "(preprocess --grow-from RUN/transform)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a run")
    _track(parser, "parameters, metrics by epoch and files")
    _cache(parser)
    parser.add_argument(
        "--checkpoint-steps",
        type=int,
        default=500,
        metavar="N",
        help="steps between checkpoints within an epoch (default: %(default)s)",
    )
    _following(parser)


def _following(parser: argparse.ArgumentParser) -> None:
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
    _no_verify(following)


def compare(parser: argparse.ArgumentParser) -> None:
    """Adds the records, what is varied, and the budget of each run."""
    parser.add_argument("records", metavar="DIR", help="the records directory")
    parser.add_argument("--merge", metavar="A,B", help="merges to compare: --vary model.merge=A,B")
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=A,B",
        help="values of a key of the spec to compare, such as model.dropout=0,0.2 or "
        "features.title.encoder=mean,gru; repeated, every combination",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a value for every arm, such as model.projection=64",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="runs of each arm (default: %(default)s)"
    )
    _epochs(parser)
    parser.add_argument("--spec", help="instead of the records' own")
    parser.add_argument(
        "--metric", metavar="NAME", help="of metrics.json (default: auc, accuracy or rmse)"
    )
    parser.add_argument(
        "--output",
        default="comparison",
        metavar="OUT",
        help="where the runs lie; finished ones are not made again (default: %(default)s)",
    )
    _cache(parser)
    _json(parser)


def evaluate(parser: argparse.ArgumentParser) -> None:
    """Adds the run, the split and the slices to evaluate."""
    _run(parser)
    _records(parser)
    parser.add_argument("--split", choices=("train", "eval", "test"), default="eval")
    parser.add_argument(
        "--slice",
        action="append",
        default=[],
        metavar="COLUMN",
        help="also by the values of this raw column; repeat for more",
    )
    parser.add_argument(
        "--importance",
        action="store_true",
        help="also which features the model leans on: how much worse it does with each shuffled",
    )
    _json(parser)


def export(parser: argparse.ArgumentParser) -> None:
    """Adds the run, the model to leave, and whether parity is proved first."""
    _run(parser)
    parser.add_argument("--output", required=True, metavar="MODEL", help="the SavedModel to leave")
    parser.add_argument("--records", metavar="DIR", help="the records, if they were moved")
    parser.add_argument("--overwrite", action="store_true", help="replace what is at the output")
    _track(parser, "the model with its signature, in the run that training told of,")
    _no_verify(parser)
    parser.add_argument("--json", action="store_true", help="print the proof as JSON")


def report(parser: argparse.ArgumentParser) -> None:
    """Adds what the page is on."""
    parser.add_argument(
        "directories",
        nargs="+",
        metavar="DIR|RUN|INDEX",
        help="records directories, runs and indexes of candidates; a run brings its records along",
    )
    parser.add_argument(
        "-o",
        "--output",
        default="report.html",
        metavar="FILE",
        help="the page to write (default: %(default)s)",
    )


def verify(parser: argparse.ArgumentParser) -> None:
    """Adds the model, the records, and the files that they came from."""
    parser.add_argument("model", metavar="MODEL", help="what `skewless export` left")
    _records(parser)
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[SPLIT=]GLOB",
        help="the files the records came from; without it, the raw rows kept beside the records",
    )
    parser.add_argument(
        "--histories-from",
        metavar="DIR",
        help="with --input: the pasts/ folder that the records' histories go on from",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _records(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records", required=True, metavar="DIR", help="the records directory")


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the run directory")


def _epochs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of training.epochs")


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)", text.strip().upper())
    size = 0 if match is None else round(float(match[1]) * 1024 ** " KMGT".index(match[2] or " "))
    if size < 1:
        raise argparse.ArgumentTypeError(f"expected a size such as 500M or 20G, got {text!r}")
    return size


def _cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache", metavar="memory|FILE", help="keep records in memory or in a file"
    )


def _track(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--track",
        metavar="TRACKER",
        help=f"mlflow:URI, to give {what} to MLflow (pip install 'skewless[mlflow]')",
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _no_verify(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--no-verify", action="store_true", help="export without the parity proof")
