"""What every peer shares: the job's numbers, its split, its command line and its last line.

Peers import nothing of the pipeline they are measured against. Records carry `__key__` and
`__label__` beside the features, so that rows can be matched afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

__all__ = [
    "BUCKETS",
    "CATEGORICALS",
    "COLUMNS",
    "LENGTHS",
    "MIN_COUNTS",
    "SPLITS",
    "TEXTS",
    "TEXT_VOCABULARY",
    "VOCABULARIES",
    "Peer",
    "between_words",
    "run",
    "split_of",
    "splits_of",
]

SPLITS = ("train", "eval", "test")
TEXTS = ("title", "body")
CATEGORICALS = ("user_id", "product_id", "category", "country")
VOCABULARIES = (*TEXTS, *CATEGORICALS)
COLUMNS = ("review_id", *CATEGORICALS, "age", "price", *TEXTS, "label")
LENGTHS = {"title": 16, "body": 128}
MIN_COUNTS = {"user_id": 2, "product_id": 2}
TEXT_VOCABULARY = 20_000
BUCKETS = 20

_IMPORTED = time.monotonic()
_MASK = (1 << 64) - 1
_K2 = 0x9AE16A3B2F90404F


def between_words() -> str:
    """Returns an RE2 expression for what separates words; spaces alone separate without it."""
    inside, apostrophe = r"\p{L}\p{N}\p{M}", r"['\x{2019}]"
    return (
        rf"{apostrophe}*[^{inside}'\x{{2019}} ]+{apostrophe}*|{apostrophe}{{2,}}"
        rf"|{apostrophe}+ {apostrophe}*| {apostrophe}+|^{apostrophe}+|{apostrophe}+$"
    )


def split_of(key: bytes) -> int:
    """Returns the place in `SPLITS` of one row, by farmhash64 of a key of 8 to 16 bytes.

    The specification of the hash is public; plain Python needs about 2 µs a row, where an eager
    `tf.fingerprint` needs 20.
    """
    size = len(key)
    if not 8 <= size <= 16:
        raise ValueError(f"keys of 8 to 16 bytes are hashed here, got {key!r}")
    mul = _K2 + 2 * size
    a = int.from_bytes(key[:8], "little") + _K2 & _MASK
    b = int.from_bytes(key[-8:], "little")
    c = (_rotated(b, 37) * mul + a) & _MASK
    d = ((_rotated(a, 25) + b) * mul) & _MASK
    first = ((c ^ d) * mul) & _MASK
    first ^= first >> 47
    second = ((d ^ first) * mul) & _MASK
    second ^= second >> 47
    share = (((second * mul) & _MASK) >> 11) / (1 << 53)
    return (share >= _EDGES[0]) + (share >= _EDGES[1])


def splits_of(size: np.ndarray, head: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Returns [rows] int8 places in `SPLITS`: `split_of` for many rows at once.

    Args:
      size: [rows] uint64, bytes of each key, 8 to 16.
      head: [rows] uint64, the first eight bytes of each key, little-endian.
      tail: [rows] uint64, the last eight.
    """
    if size.size and not 8 <= int(size.min()) <= int(size.max()) <= 16:
        raise ValueError("keys of 8 to 16 bytes are hashed here")
    with np.errstate(over="ignore"):
        k2, shift = np.uint64(_K2), np.uint64(47)
        mul = k2 + size * np.uint64(2)
        a = head + k2
        c = _rotated_all(tail, 37) * mul + a
        d = (_rotated_all(a, 25) + tail) * mul
        first = (c ^ d) * mul
        first ^= first >> shift
        second = (d ^ first) * mul
        second ^= second >> shift
        hashed = second * mul
    share = (hashed >> np.uint64(11)) / float(1 << 53)
    return np.searchsorted(_EDGES, share, side="right").astype(np.int8)


_EDGES = np.cumsum([0.8, 0.1, 0.1])[:-1].tolist()


def _rotated(value: int, bits: int) -> int:
    return (value >> bits | value << 64 - bits) & _MASK


def _rotated_all(values: np.ndarray, bits: int) -> np.ndarray:
    return values >> np.uint64(bits) | values << np.uint64(64 - bits)


Peer = Callable[[Path, Path, int, Callable[[], None]], dict[str, int]]


def run(peer: Peer, description: str | None) -> None:
    """Runs a peer's command line; its last line is JSON.

    Args:
      peer: Called with the input file, an empty output directory, the number of workers and a
        function to call when start-up is over and rows begin to flow. Returns rows_in, rows_out.
      description: The module's docstring.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--input", type=Path, required=True, help="a .parquet or .csv file")
    parser.add_argument("--output", type=Path, required=True, help="replaced if it exists")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    shutil.rmtree(asked.output, ignore_errors=True)
    asked.output.mkdir(parents=True)
    ready: list[float] = []
    rows = peer(
        asked.input, asked.output, asked.workers, lambda: ready.append(_seconds_since_start())
    )
    report = {
        **rows,
        "fixed_seconds": round(ready[0], 3) if ready else None,
        "seconds": round(_seconds_since_start(), 3),
    }
    print(json.dumps(report), flush=True)


def _seconds_since_start() -> float:
    """Returns seconds since this process began, so that imports count."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, AttributeError):  # Not Linux: imports are left out.
        return time.monotonic() - _IMPORTED
