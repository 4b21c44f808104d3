"""What cutting a CSV file into work units takes of the command itself: by its threads, or by workers.

    python -m benchmarks.planning [--megabytes 250 1500]

Half of the rows hold quotes, some with line ends within. Bytes are those that this process read, CPU
is its own; those of worker processes are theirs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from skewless.beam_pipelines.batch import cut as batch_cut
from skewless.beam_pipelines.batch.plan import opened_input
from skewless.schemas.spec.spec import parse

_SPEC = {
    "name": "planned",
    "features": {"title": {"type": "text", "length": 16}, "price": {"type": "numeric"}},
}


def main() -> None:
    """Prints a line for each size and each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="*", default=[250, 1500])
    sizes = parser.parse_args().megabytes
    print(
        f"{'MB':>6} {'cut by':<10} {'rows':>12} {'units':>6} {'seconds':>8} {'CPU':>6} {'MB read':>8}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in sizes:
            path = Path(folder) / f"{megabytes}.csv"
            _write(path, megabytes)
            for way in ("threads", "processes"):
                _measure(path, megabytes, way, Path(folder))
            path.unlink()


def _measure(path: Path, megabytes: int, way: str, staging: Path) -> None:
    batch_cut.PIECES_WORTH_PROCESSES = 0 if way == "processes" else 1 << 60
    options = [f"--direct_num_workers={os.cpu_count()}", "--direct_running_mode=multi_processing"]
    begin, used, read = time.monotonic(), os.times(), _bytes_read(way)
    job = batch_cut.cut(opened_input(parse(_SPEC), [str(path)], options), staging)
    seconds, now = time.monotonic() - begin, os.times()
    cpu = now.user + now.system - used.user - used.system
    rows = job.units[-1].first_row
    told = f"{megabytes:>6} {way:<10} {rows:>12,} {len(job.units):>6} {seconds:>8.1f} {cpu:>6.1f}"
    print(f"{told} {(_bytes_read(way) - read) / 1e6:>8,.0f}", flush=True)


def _bytes_read(way: str) -> int:
    """Returns the bytes that this process has read; those of its ended children count for its whole."""
    own = Path("/proc/self")
    files = own.glob("task/*/io") if way == "processes" else [own / "io"]
    return sum(int(path.read_text(encoding="utf-8").split()[1]) for path in files)


def _write(path: Path, megabytes: int) -> None:
    rows = "".join(
        f'{n},"said ""{n}"" and {"more words " * (n % 20)}\nthe end",{n % 97}\n'
        if n % 2
        else f"{n},{'plain words ' * (n % 20)},{n % 97}\n"
        for n in range(20_000)
    ).encode()
    with path.open("wb") as file:
        file.write(b"id,title,price\n")
        while file.tell() < megabytes * 1_000_000:
            file.write(rows)


if __name__ == "__main__":
    main()
