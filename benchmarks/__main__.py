"""Every benchmark, one after the other: `make bench`, or `make bench-quick` for results alone.

    python -m benchmarks [--quick] [NAME...]

Figures go to benchmarks/results/, those of a quick run nowhere: it checks results, not times. The
exit code is 1 when a result is wrong, however long anything took.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

_RESULTS = Path(__file__).parent / "results"
_NAMES = (
    "preprocessing",
    "wide",
    "distinct",
    "feed",
    "training",
    "serving",
    "serve",
    "serve_hostile",
    "predict",
)


def main() -> int:
    """Runs the benchmarks asked for; returns 1 if one of them found a wrong result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(_NAMES)}; all")
    parser.add_argument("--quick", action="store_true", help="little data: results, not times")
    asked = parser.parse_args()
    unknown = set(asked.names) - set(_NAMES)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(_NAMES)}")
    wrong = []
    with tempfile.TemporaryDirectory() as temporary:
        results = Path(temporary) if asked.quick else _RESULTS
        results.mkdir(exist_ok=True)
        for name in asked.names or _NAMES:
            print(f"\n{name}", flush=True)
            if subprocess.call([sys.executable, "-m", *_command(name, results, asked.quick)]):
                wrong.append(name)
    print(f"\nwrong results: {', '.join(wrong)}" if wrong else "\nall results are right")
    return 1 if wrong else 0


def _command(name: str, results: Path, quick: bool) -> list[str]:
    if name == "preprocessing":
        command = ["benchmarks.preprocessing.compare", "--results", str(results)]
    else:
        command = [f"benchmarks.{name}", "--json", str(results / f"{name}.json")]
    return [*command, "--quick"] if quick else command


if __name__ == "__main__":
    raise SystemExit(main())
