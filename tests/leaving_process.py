"""A process that leaves a directory at a URI, to be killed: `python -m tests.leaving_process`.

It writes files that hold a word, says that it has begun, and goes on when it is sent a line.
"""

from __future__ import annotations

import sys

from skewless.schemas.errors import UsageError
from skewless.schemas.storage.leaving import leaving

FILES = 30


def main(uri: str, word: str) -> int:
    """Leaves the files; returns the exit code of a command."""
    try:
        with leaving(uri, overwrite=True) as path:
            for number in range(FILES):
                (path / f"part-{number % 3}").mkdir(parents=True, exist_ok=True)
                (path / f"part-{number % 3}" / f"{number}").write_text(f"{word} {number}\n" * 2000)
            print("begun", flush=True)
            sys.stdin.readline()
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
