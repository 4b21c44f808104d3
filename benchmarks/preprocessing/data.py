"""Generated reviews of about 600 bytes, the rows that every preprocessing benchmark reads.

Words, users and products follow Zipf's law; bodies carry capitals and punctuation; the label
depends on words, user and price, so that a model has something to learn.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

__all__ = ["generate", "write", "write_parts"]

USERS, PRODUCTS, CATEGORIES, COUNTRIES, WORDS = 200_000, 50_000, 100, 50, 60_000
_BLOCK = 50_000
_CONSONANTS, _VOWELS = "bcdfghjklmnprstvz", "aeiou"
# Zipf with this shift puts about a tenth of all words on the most frequent ten, as English does.
_SHIFT = 2.7


def generate(rows: int, seed: int = 1) -> Iterator[pa.RecordBatch]:
    """Yields `rows` rows in blocks, the same for the same seed and number of rows."""
    yield from _blocks(0, rows, seed)


def _blocks(first: int, end: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Yields rows `first` to `end`, of which the first begins a block."""
    vocabulary = _Words(np.random.default_rng(seed))
    for begin in range(first, end, _BLOCK):
        random = np.random.default_rng([seed, begin])
        yield _block(random, vocabulary, begin, min(_BLOCK, end - begin))


def write(rows: int, path: str | Path, seed: int = 1) -> Path:
    """Writes generated rows to a `.csv` or `.parquet` file; a file already there is kept."""
    path = Path(path)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    return _write(path, generate(rows, seed))


def write_parts(
    rows: int, folder: str | Path, *, part_rows: int = 2 * _BLOCK, processes: int = 2, seed: int = 1
) -> list[Path]:
    """Writes generated rows to Parquet files, in as many processes; files already there are kept.

    The files of fewer rows are the first of those of more.
    """
    if part_rows % _BLOCK:
        raise ValueError(f"part_rows: expected a multiple of {_BLOCK}, got {part_rows}")
    Path(folder).mkdir(parents=True, exist_ok=True)
    firsts = range(0, rows, part_rows)
    parts = [
        (
            Path(folder) / f"{first:011d}-{min(part_rows, rows - first)}.parquet",
            first,
            min(rows, first + part_rows),
            seed,
        )
        for first in firsts
    ]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pool.starmap(_write_part, parts)


def _write_part(path: Path, first: int, end: int, seed: int) -> Path:
    return path if path.exists() else _write(path, _blocks(first, end, seed))


def _write(path: Path, blocks: Iterator[pa.RecordBatch]) -> Path:
    temporary = path.with_name(f".{path.name}")
    first = next(blocks)
    if path.suffix == ".csv":
        with pyarrow.csv.CSVWriter(temporary, first.schema) as csv:
            csv.write_batch(first)
            for block in blocks:
                csv.write_batch(block)
    else:
        with pyarrow.parquet.ParquetWriter(temporary, first.schema) as parquet:
            parquet.write_batch(first)
            for block in blocks:
                parquet.write_batch(block)
    temporary.rename(path)
    return path


class _Words:
    """The word list, each word plain, capitalised and before punctuation, and its weight."""

    def __init__(self, random: np.random.Generator) -> None:
        stems = _made_up(random, WORDS)
        forms = [
            *stems,
            *(stem.capitalize() for stem in stems),
            *(f"{stem}{mark}" for stem, mark in zip(stems, _marks(random), strict=True)),
        ]
        self.forms = pa.array(forms, pa.string())
        weights = 1.0 / (np.arange(WORDS) + _SHIFT)
        self.cumulative = np.cumsum(weights) / weights.sum()
        self.tone = random.normal(0.0, 1.0, WORDS)

    def draw(self, random: np.random.Generator, count: int) -> tuple[np.ndarray, pa.Array]:
        """Returns [count] stems' places and [count] string forms."""
        stems = np.searchsorted(self.cumulative, random.random(count)).astype(np.int32)
        form = np.searchsorted([0.80, 0.88], random.random(count), side="right").astype(np.int32)
        return stems, self.forms.take(pa.array(stems + form * WORDS))


def _made_up(random: np.random.Generator, count: int) -> list[str]:
    """Returns distinct words, the frequent ones shorter; one in forty has an accent."""
    words: dict[str, None] = {}
    while len(words) < count:
        syllables = 1 + int(np.log10(len(words) + 1) * 0.55 + random.random())
        word = "".join(
            _CONSONANTS[random.integers(len(_CONSONANTS))] + _VOWELS[random.integers(len(_VOWELS))]
            for _ in range(syllables)
        )
        if random.random() < 0.025:
            word = word.replace("e", "é").replace("a", "ä")
        if random.random() < 0.5:
            word += _CONSONANTS[random.integers(len(_CONSONANTS))]
        words.setdefault(word)
    return list(words)


def _marks(random: np.random.Generator) -> list[str]:
    return random.choice([",", ".", "!", "?", ";", "'s", "..."], WORDS).tolist()


def _zipf(random: np.random.Generator, count: int, kinds: int) -> np.ndarray:
    weights = np.cumsum(1.0 / (np.arange(kinds) + 10.0))
    return np.searchsorted(weights, random.random(count) * weights[-1])


def _names(prefix: str, places: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(places + 1_000_000).cast(pa.string()), "")


def _texts(
    random: np.random.Generator, vocabulary: _Words, lengths: np.ndarray
) -> tuple[pa.Array, np.ndarray]:
    """Returns [rows] string and [rows] float, the mean tone of each text's words."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    stems, forms = vocabulary.draw(random, int(offsets[-1]))
    texts = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), forms), " ")
    return texts, np.add.reduceat(vocabulary.tone[stems], offsets[:-1]) / np.sqrt(lengths)


def _block(
    random: np.random.Generator, vocabulary: _Words, first: int, rows: int
) -> pa.RecordBatch:
    users, products = _zipf(random, rows, USERS), _zipf(random, rows, PRODUCTS)
    categories, countries = products % CATEGORIES, _zipf(random, rows, COUNTRIES)
    ages = np.clip(random.normal(40, 14, rows), 16, 95).round()
    prices = random.lognormal(3.0, 1.0, rows).round(2)
    titles, title_tone = _texts(random, vocabulary, random.integers(3, 10, rows))
    bodies, body_tone = _texts(
        random, vocabulary, np.clip(random.normal(80, 25, rows), 5, 220).astype(np.int64)
    )
    taste = np.sin(users * 12.9898) + np.sin(products * 78.233)
    score = title_tone + body_tone + taste - 0.2 * np.log(prices)
    return pa.record_batch(
        {
            "review_id": _names("r", np.arange(first, first + rows) + 8_000_000),
            "user_id": _names("u", users),
            "product_id": _names("p", products),
            "category": _names("c", categories),
            "country": _names("l", countries),
            "age": pa.array(ages.astype(np.float32), mask=random.random(rows) < 0.03),
            "price": pa.array(prices.astype(np.float32)),
            "title": titles,
            "body": bodies,
            "label": pa.array((score + random.normal(0, 1, rows) > 0).astype(np.int64)),
        }
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", help="a .csv or .parquet file to write")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(write(asked.rows, asked.path, asked.seed))
