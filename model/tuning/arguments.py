"""The options of `tune`, apart from it so that `--help` imports nothing heavy."""

from __future__ import annotations

import argparse

__all__ = ["tune"]


def tune(parser: argparse.ArgumentParser) -> None:
    """Adds the records, how much to try, and what is varied."""
    parser.add_argument("records", metavar="DIR", help="the records directory")
    parser.add_argument(
        "--trials",
        type=int,
        default=20,
        metavar="N",
        help="how many in all, those before in the same output too (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="try no longer than this; the first trial ends"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of training.epochs")
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=A,B",
        help="values of a key of the spec to try, instead of what would be tried of it; repeat for more",
    )
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="NAME",
        help="leave this, of what --dry-run lists, as it is declared; repeat for more",
    )
    parser.add_argument("--spec", help="instead of the records' own")
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="of eval, to choose by (default: auc, accuracy or rmse, as train measures it)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=3,
        metavar="N",
        help="runs of the tuned spec and of the untuned one to compare; 0 leaves that out "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        default="tuning",
        metavar="OUT",
        help="where trials, the best spec and the comparison lie; called again, goes on "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--cache", metavar="memory|FILE", help="keep records in memory or in a file"
    )
    parser.add_argument("--dry-run", action="store_true", help="list what is varied; train nothing")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
