"""python -m tests.nasty DIR …: tries files, prints what became of them; exit 1 if any must not be.

Every file goes by its ending; `.json` is tried as `.jsonl`, and `.txt`, `.xml`, `.html` and `.srt` as
`.csv`, and `--as` says another.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.nasty.outcomes import Outcome, table
from tests.nasty.workers import Task, outcomes_of

TRIED_AS = {
    ".json": ".jsonl",
    ".txt": ".csv",
    ".xml": ".csv",
    ".html": ".csv",
    ".srt": ".csv",
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.nasty", description=__doc__)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--only", default="*", metavar="GLOB", help="paths to try")
    parser.add_argument("--as", dest="ending", metavar="ENDING",
        help="try every file under this ending, .parquet say, whatever it is called",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=20, help="a file's processor time (20)")
    parser.add_argument("--memory", type=float, default=2, help="GiB that a file may take (2)")
    parser.add_argument("--processes", type=int, default=1, choices=(1, 2))
    parser.add_argument("--json", type=Path, metavar="FILE", help="outcomes, as they come")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="read columns as text only, which is a tenth of the time",
    )
    parser.add_argument("--bad", type=int, default=40, help="how many bad outcomes to print (40)")
    parser.add_argument(
        "--preprocess", type=int, default=0, metavar="N",
        help="also run the whole of preprocess on N files drawn from those read (0)",
    )  # fmt: skip
    known = parser.parse_args(argv)
    from tests.nasty.attempt import attempt, preprocess_alone

    begin = time.monotonic()
    tried = partial(attempt, kinds=()) if known.quick else attempt
    other = "" if known.quick else ", list, int64 and float32"
    limits = {"processes": known.processes, "memory": int(known.memory * 2**30)}
    if known.json:
        known.json.write_text("")
    with tempfile.TemporaryDirectory(prefix="nasty-") as folder:
        tasks = list(_tasks(known.directories, known.only, known.ending, Path(folder)))
        outcomes = list(
            _seen(
                outcomes_of(tried, tasks, seconds=known.seconds, **limits), len(tasks), known.json
            )
        )
        _print(
            f"init, and every column as text{other}, whole and cut",
            outcomes,
            known.bad,
        )
        readable = {o.file for o in outcomes if o.kind in ("ok", "rejected") and o.read}
        chosen = [task for task in tasks if str(task[0]) in readable]
        drawn = random.Random(1).sample(chosen, min(known.preprocess, len(chosen)))
        if drawn:
            jobs = outcomes_of(preprocess_alone, drawn, seconds=known.seconds + 120, **limits)
            jobs = list(_seen(jobs, len(drawn), known.json))
            _print(
                f"the whole of preprocess, on {len(drawn)} files drawn of {len(chosen)}",
                jobs,
                known.bad,
            )
            outcomes += jobs
    print(f"\n{time.monotonic() - begin:.0f} s")
    return int(any(outcome.bad for outcome in outcomes))


def _tasks(
    directories: Sequence[Path], only: str, tried_as: str | None, folder: Path
) -> Iterator[Task]:
    """Yields files and their families; those tried under another ending by a link in `folder`."""
    links = 0
    for directory in directories:
        for root, _, names in sorted(os.walk(directory)):
            for name in sorted(names):
                path = Path(root) / name
                if not fnmatch.fnmatch(str(path), only):
                    continue
                ending = path.suffix.lower()
                other = tried_as or TRIED_AS.get(ending)
                if other is None:
                    yield path, _family(path)
                    continue
                links += 1
                link = folder / f"{links}-{name}{other}"
                link.symlink_to(path.absolute())
                yield link, f"{_short(ending)} as {other}"


def _family(path: Path) -> str:
    from tests.nasty.attempt import format_of

    if not format_of(path):
        return "other endings"
    return "".join(path.suffixes[-2:] if path.suffix in (".gz", ".zst") else path.suffixes[-1:])


def _short(ending: str) -> str:
    """Returns an ending as a family's name: a file's own hash behind a dot is none."""
    return ending if 0 < len(ending) <= 12 else "no ending"


def _seen(outcomes: Iterator[Outcome], count: int, log: Path | None) -> Iterator[Outcome]:
    for done, outcome in enumerate(outcomes, 1):
        if log is not None:
            with log.open("a") as file:
                file.write(json.dumps(outcome.to_json()) + "\n")
        if sys.stderr.isatty() or done % 200 == 0:
            print(f"{done} of {count}", end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr)
        yield outcome


def _print(level: str, outcomes: Sequence[Outcome], most: int) -> None:
    print(f"\n{level}:\n{table(outcomes)}")
    bad = [outcome for outcome in outcomes if outcome.bad]
    for outcome in bad[:most]:
        print(f"\n{outcome.kind} at {outcome.level or '?'}: {outcome.file}\n  {outcome.detail}")
    if len(bad) > most:
        print(f"\n… and {len(bad) - most} more; --json has all")


if __name__ == "__main__":
    sys.exit(main())
