"""Files of word vectors: texts of word2vec's and GloVe's kind, and arrays with a list of words."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from skewless.schemas.errors import DataError
from skewless.schemas.spec.kinds.vectors import Vectors
from skewless.schemas.storage.fetched import fetched_file

__all__ = ["read_vectors"]


def read_vectors(
    where: str, vectors: Vectors, wanted: Collection[bytes], width: int
) -> dict[bytes, np.ndarray]:
    """Reads the vectors of wanted words; of a word that a file has twice, the first.

    Args:
      where: The key of the spec, for messages.
      vectors: The declaration.
      wanted: Words, as a vocabulary has them.
      width: How many numbers a vector has.

    Returns:
      By word, [width] float32.

    Raises:
      DataError: If a file cannot be read or is of another width; named with the line and a remedy.
    """
    path = fetched_file(vectors.file)
    try:
        if vectors.words is None:
            return _of_text(where, path, frozenset(wanted), width)
        return _of_array(where, path, fetched_file(vectors.words), frozenset(wanted), width)
    except (OSError, EOFError) as error:
        raise DataError(f"{where}: cannot read {path}: {error}; check the path") from error


def _of_text(
    where: str, path: Path, wanted: frozenset[bytes], width: int
) -> dict[bytes, np.ndarray]:
    found: dict[bytes, np.ndarray] = {}
    for number, line in _lines(path):
        parts = line.rstrip().split(b" ")
        if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
            _check_width(where, f"{path}:1", int(parts[1]), width)
            continue
        # Words may hold spaces themselves (GloVe has such), so a line is read from its end. The first
        # line tells the width: its word is taken to be one.
        if number == 1 or len(parts) <= width:
            _check_width(where, f"{path}:{number}", len(parts) - 1, width)
        word = b" ".join(parts[:-width])
        if word in wanted and word not in found:
            found[word] = _numbers(where, f"{path}:{number}", parts[-width:])
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the lines that are not blank, with their numbers."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def _check_width(where: str, place: str, got: int, width: int) -> None:
    if got != width:
        raise DataError(
            f"{where}: {place}: expected a word and {width} numbers, as many as `embedding` says, got "
            f"{got}; set embedding to the width of the vectors, or mend the line"
        )


def _numbers(where: str, place: str, parts: list[bytes]) -> np.ndarray:
    try:
        numbers = np.array([float(part) for part in parts])
    except ValueError as error:
        raise DataError(
            f"{where}: {place}: expected numbers, got: {error}; mend the line"
        ) from error
    return _finite(where, place, numbers)


def _finite(where: str, place: str, numbers: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # To infinity, which is refused.
        held = np.asarray(numbers).astype(np.float32)
    if not np.isfinite(held).all():
        raise DataError(
            f"{where}: {place}: expected finite numbers that float32 holds, got others; mend it, or "
            "leave the word out"
        )
    return held


def _of_array(
    where: str, path: Path, words: Path, wanted: frozenset[bytes], width: int
) -> dict[bytes, np.ndarray]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise DataError(
            f"{where}: {path}: expected an array of numbers: {error}; save it anew"
        ) from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise DataError(
            f"{where}: {path}: expected numbers of shape [words, {width}], got {array.dtype} of shape "
            f"{list(array.shape)}; save it anew"
        )
    _check_width(where, str(path), array.shape[1], width)
    lines = words.read_bytes().splitlines()
    if len(lines) != len(array):
        raise DataError(
            f"{where}: {words}: expected {len(array):,} lines, a word for each row of {path}, got "
            f"{len(lines):,}; give the words that the array was saved with"
        )
    found: dict[bytes, np.ndarray] = {}
    for place, word in enumerate(lines):
        if word in wanted and word not in found:
            found[word] = _finite(where, f"{path}, row {place}", array[place])
    return found
