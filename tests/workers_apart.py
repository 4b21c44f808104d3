"""A pool of Beam's workers that share no disk with the command, nor with one another.

The pool has mounts of its own: over a directory that the command uses lies an empty one, which the
command does not see, and in which each worker has a cache of its own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import ROOT, within

__all__ = ["Apart", "workers_apart"]

_PORT = 50123
# Python imports this module first of all.
_EACH = """\
import os
os.environ["SKEWLESS_CACHE"] = os.path.join({home!r}, "caches", str(os.getpid()))
"""
_SHELL = 'mount -t tmpfs none "$1" && mkdir "$1/each" && printf "%s" "$2" > "$1/each/sitecustomize.py" && shift 2 && exec "$@"'


@dataclass(frozen=True)
class Apart:
    """The pool.

    Attributes:
      options: Beam's, which send a job's Python to it.
      seen: The directory as its workers see it.
      process: Of the pool.
    """

    options: tuple[str, ...]
    seen: Path
    process: int

    def caches(self) -> list[set[str]]:
        """Returns the paths in the cache of each worker that has one."""
        return [
            {path.relative_to(cache).as_posix() for path in cache.rglob("*")}
            for cache in (self.seen / "caches").glob("*")
        ]


@contextlib.contextmanager
def workers_apart(home: Path, variables: Mapping[str, str]) -> Iterator[Apart]:
    """Runs the pool.

    Args:
      home: The directory that its workers see an empty one over.
      variables: Of the environment, for its workers.
    """
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    pool = [sys.executable, str(ROOT / "scripts" / "worker_pool.py"), f"--port={_PORT}"]
    path = os.pathsep.join((str(home / "each"), str(ROOT), os.environ.get("PYTHONPATH", "")))
    process = subprocess.Popen(
        ["unshare", "--mount", *as_root, "sh", "-c", _SHELL, "sh", str(home), _EACH.format(home=str(home)), *pool],
        env={**os.environ, **variables, "PYTHONPATH": path, "TMPDIR": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert "Python workers" in process.stdout.readline()
        options = (f"--environment_config=localhost:{_PORT}",)
        yield Apart(options, Path(f"/proc/{process.pid}/root{home}"), process.pid)
    finally:
        process.terminate()
        process.wait()
        within(30, lambda: not Path(f"/proc/{process.pid}").exists())
