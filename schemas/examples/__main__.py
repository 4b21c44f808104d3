"""`python -m skewless.schemas.examples NAME --output DIR`: an example's spec, and rows that fit it."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from skewless.schemas.examples import generators, reviews

__all__ = ["run"]

FORMATS = ("csv", "jsonl", "parquet")


def run(argv: Sequence[str] | None = None) -> None:
    """Writes DIR/NAME.yaml and DIR/NAME.csv, .jsonl or .parquet, and tells what comes next."""
    parser = argparse.ArgumentParser(
        prog="python -m skewless.schemas.examples", description=__doc__
    )
    parser.add_argument("name", choices=("reviews", *generators.EXAMPLES), metavar="NAME")
    parser.add_argument("--output", default=".", metavar="DIR", help="(default: here)")
    parser.add_argument("--rows", type=int, default=4_000, help="(default: %(default)s)")
    parser.add_argument("--format", choices=FORMATS, default="csv", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    known = parser.parse_args(argv)
    folder = Path(known.output)
    folder.mkdir(parents=True, exist_ok=True)
    rows, spec = folder / f"{known.name}.{known.format}", folder / f"{known.name}.yaml"
    if known.name == "reviews":
        generators.write_table(reviews.generate(known.rows, known.seed).table, rows)
    else:
        generators.write(known.name, rows, known.rows, known.seed)
    shutil.copyfile(generators.spec_path(known.name), spec)
    print(f"{rows}: {known.rows:,} rows; {spec}")


if __name__ == "__main__":
    run()
