"""Nasty files of every format: hundreds, made from a seed, none kept.

    family   one way to be bad or odd, in one format; what must become of such a file, and why
    files    of each family by name: content, records, and how many of them are rejected

What is declared is only what a reader can say beforehand; tests/nasty/oracles.py adds what Python's
csv and json, pyarrow and TensorFlow make of the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.nasty.corpus import (
    compressed,
    damaged,
    delimited,
    json_lines,
    misnamed,
    parquet,
    tfrecords,
)
from tests.nasty.corpus.family import ANY, Family, File, Made, packed, swapped

__all__ = ["ANY", "Family", "File", "Made", "every_family", "every_file"]


def every_family(seed: int = 1, damages: int = 4) -> list[Family]:
    """Returns all families.

    Args:
      seed: Of the damage; other seeds damage other places.
      damages: Files of each sort of damage in each format.
    """
    families = []
    for family in delimited.FAMILIES:
        families += [family, swapped(family), *packed(family)]
    for family in json_lines.FAMILIES:
        families += [family, *packed(family)]
    families += [*parquet.FAMILIES, *tfrecords.FAMILIES, *compressed.FAMILIES]
    return [*families, *misnamed.FAMILIES, *damaged.families(seed, damages)]


def every_file(seed: int = 1, damages: int = 4) -> Iterator[Made]:
    """Yields the files of all families, with the name that each would have in a folder of its own."""
    for place, family in enumerate(every_family(seed, damages)):
        for name, file in family.files.items():
            yield Made(family, f"{place:03d}-{name}.{family.format}", file)
