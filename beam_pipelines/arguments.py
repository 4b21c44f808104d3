"""The options of each Beam job, apart from the jobs so that `--help` imports nothing heavy."""

from __future__ import annotations

import argparse

from skewless.schemas.options_parser import share_of_rows

__all__ = [
    "index",
    "init",
    "inspect",
    "predict",
    "preprocess",
    "stream",
]


def init(parser: argparse.ArgumentParser) -> None:
    """Adds the data to guess from, and where the guess goes."""
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help="files or globs, as preprocess --input takes them"
    )
    parser.add_argument(
        "--label",
        action="append",
        metavar="COLUMN",
        help="the column to predict (default: one called label, target, class, outcome or rating); "
        "again for several",
    )
    parser.add_argument(
        "--task",
        choices=("predict", "recommend"),
        default="predict",
        help="predict the label, or recommend: two towers that find candidates for queries "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--query", metavar="COLUMN", help="with recommend: who asks (default: by names, as user_id)"
    )
    parser.add_argument(
        "--candidate",
        metavar="COLUMN",
        help="with recommend: what is to be found (default: by names, as product_id)",
    )
    parser.add_argument(
        "-o", "--output", metavar="SPEC", help="the spec file to write (default: standard output)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the spec file")
    parser.add_argument("--json", action="store_true", help="print spec and reasons as JSON")


def preprocess(parser: argparse.ArgumentParser) -> None:
    """Adds spec, input and output, and how rows become records; other options are Beam's."""
    _spec(parser)
    parser.add_argument(
        "--input",
        action="append",
        required=True,
        metavar="[SPLIT=]GLOB",
        help="files to read; repeat for more; train=, eval= or test= before the glob puts all "
        "their rows into that split",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="the records directory to leave"
    )
    parser.add_argument(
        "--transform", metavar="DIR", help="apply this fitted transform instead of analysing"
    )
    parser.add_argument(
        "--grow-from",
        metavar="DIR",
        help="fit anew, but keep every ID and constant of this fitted transform: new entries come "
        "after the old ones of each vocabulary",
    )
    _histories_from(parser, "")
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="keep what is found of each input file here, so that a later job analyses only new "
        "files; the result is the same",
    )
    _max_rejected(parser)
    _compression(parser)
    parser.add_argument(
        "--rows-per-record",
        type=_positive,
        default=1,
        metavar="N",
        help="hold N rows in a record: training reads them faster, other readers must know "
        "(default: %(default)s)",
    )
    _overwrite(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check spec, files, columns and what --transform, --grow-from and --histories-from name, say "
        "what would be done, write nothing",
    )
    parser.add_argument(
        "--json", action="store_true", help="print what came of the rows, or the dry run, as JSON"
    )


def predict(parser: argparse.ArgumentParser) -> None:
    """Adds model, input and output; other options are Beam's."""
    _through_model(parser, "what `skewless export` left", "files to read")
    parser.add_argument("--format", choices=("parquet", "jsonl"), default="parquet")
    parser.add_argument(
        "--carry",
        action="append",
        default=[],
        metavar="COLUMN,…",
        help="columns of the input to stand beside the predictions; repeat for more",
    )
    _max_rejected(parser)
    _overwrite(parser)


def index(parser: argparse.ArgumentParser) -> None:
    """Adds model, candidates and output, and how the index is searched; other options are Beam's."""
    _through_model(parser, "what `skewless export` left, of two towers", "files of candidates")
    parser.add_argument(
        "--id",
        metavar="COLUMN",
        help="the column of the candidates' IDs (default: that of the feature that names them)",
    )
    parser.add_argument(
        "--queries",
        action="append",
        default=[],
        metavar="GLOB",
        help="files of queries to measure recall on, a thousand of them; repeat for more (default: "
        "candidates stand for queries)",
    )
    parser.add_argument(
        "--search-width",
        type=_positive,
        metavar="N",
        help="how many candidates a search keeps in sight: more find more, and take longer "
        "(default: the least of 64 to 1,024 that finds 95%% of what brute force does)",
    )
    _max_rejected(parser)
    _overwrite(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check model, files and columns, write nothing",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def stream(parser: argparse.ArgumentParser) -> None:
    """Adds spec, source and output, and how rows fall into windows; other options are Beam's."""
    _spec(parser)
    parser.add_argument(
        "--source",
        required=True,
        metavar="URI",
        help="dir:///path/*.jsonl or s3://bucket/*.jsonl (new files, each once; quote it), "
        "kafka://broker:9092/topic or "
        "pubsub://project/topic",
    )
    parser.add_argument(
        "--transform",
        required=True,
        metavar="DIR",
        help="the transform/ folder that `preprocess` left",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="the directory of windows, begun or gone on with",
    )
    _histories_from(parser, " (on this machine)")
    parser.add_argument(
        "--format",
        choices=("json", "example"),
        default="json",
        help="what a message of a queue is: a JSON object or a serialized tf.Example; files go by "
        "their ending (default: %(default)s)",
    )
    _windows(parser)
    parser.add_argument(
        "--until-idle",
        type=float,
        metavar="SECONDS",
        help="end when nothing new came for so long, all windows written (of files, or on this machine)",
    )
    _compression(parser)
    _drift(parser)
    parser.add_argument(
        "--expansion-service",
        metavar="HOST:PORT",
        help="of Beam's Kafka transforms; without it Beam starts one, for which it needs the jar",
    )


def _histories_from(parser: argparse.ArgumentParser, where: str) -> None:
    parser.add_argument(
        "--histories-from",
        metavar="DIR",
        help=f"the pasts/ folder that `preprocess` left: histories go on from those rows{where}",
    )


def inspect(parser: argparse.ArgumentParser) -> None:
    """Adds what to look at, and which of its records, IDs or rows."""
    parser.add_argument(
        "records", metavar="DIR|MODEL", help="the records directory, or what `skewless export` left"
    )
    parser.add_argument(
        "--row",
        metavar="JSON",
        help="of a model: walk this row through it, from raw values to the score; - reads it from "
        "standard input",
    )
    parser.add_argument(
        "--label", metavar="NAME", help="with --row: of several labels, the one to explain"
    )
    parser.add_argument(
        "--exclude",
        action="append",
        metavar="NAME",
        help="with --row of a query of two towers: a candidate not to be found; repeat for more",
    )
    parser.add_argument("--split", choices=("train", "eval", "test"), default="train")
    parser.add_argument(
        "-n",
        type=int,
        metavar="N",
        help="records to show (default: 5), or candidates to find (default: 10)",
    )
    parser.add_argument(
        "--feature",
        metavar="NAME",
        help="with --id: the feature; `label` for the label, `labels.NAME` for one of several",
    )
    parser.add_argument("--id", type=int, metavar="ID", help="say what this ID of --feature means")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def _spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", help="the spec, a YAML file")


def _through_model(parser: argparse.ArgumentParser, model: str, files: str) -> None:
    parser.add_argument("model", metavar="MODEL", help=model)
    parser.add_argument(
        "--input", action="append", required=True, metavar="GLOB", help=f"{files}; repeat for more"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="the directory to leave")


def _max_rejected(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-rejected",
        type=share_of_rows,
        default=0.01,
        metavar="SHARE",
        help="fail when a larger share of rows is rejected (default: %(default)s)",
    )


def _compression(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--compression", choices=("none", "gzip"), default="none")


def _overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace a finished output")


def _windows(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--window",
        default="60s",
        metavar="DURATION",
        help="length of a window of event time, such as 30s, 5m or 1h (default: %(default)s)",
    )
    parser.add_argument(
        "--timestamp-column",
        metavar="COLUMN",
        help="holds the row's own time, ISO 8601 or a number since 1970; without it a row's time is "
        "that of its message, or of the last change of its file",
    )
    parser.add_argument(
        "--delay",
        default="5s",
        metavar="DURATION",
        help="keep a window open for so long after its end (default: %(default)s)",
    )
    parser.add_argument(
        "--allowed-lateness",
        metavar="DURATION",
        help="reject rows that come later than so long after their window's end; without it they "
        "are all written, in later panes of their window",
    )


def _drift(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--drift-limit",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="a window drifts when a feature's divergence, or the change of its share of unknown or "
        "missing values, is above this (default: %(default)s)",
    )
    parser.add_argument(
        "--fail-on-drift",
        action="store_true",
        help="end with exit code 1 after a window that drifts; it is written all the same",
    )
    parser.add_argument(
        "--drift-webhook",
        metavar="URL",
        help="is sent the drift of each window that drifts, as JSON",
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)
