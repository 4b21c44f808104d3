"""A family: one way for a file to be bad or odd, what must become of it, and the files that are so."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import zstandard

__all__ = ["ANY", "Family", "File", "Made", "gzipped", "packed", "swapped", "zipped"]

Content = bytes | Callable[[], bytes]
# Damage can leave a file as it was, cost it rows, or all of it: never more than that.
ANY = "ok, rejected or refused"
zipped = zstandard.ZstdCompressor().compress


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@dataclass(frozen=True)
class File:
    """One file's content.

    Attributes:
      content: Its bytes, or what makes them.
      read: Records that it has, those to be rejected among them; None where damage decides.
      rejected: How many of them are rejected with every column read as text.
    """

    content: Content
    read: int | None = 0
    rejected: int | None = 0

    def bytes(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content()


@dataclass(frozen=True)
class Family:
    """Files that are bad in one way.

    Attributes:
      format: The ending of their names, without its dot.
      about: What is bad or odd about them.
      outcome: `ok`, `rejected`, `refused` or `ANY`.
      files: By a name that tells one from another.
      reason: A regular expression that every rejection's reason, or the refusal, contains.
      derived: Whether it is another family's contents with tabs or compressed.
    """

    format: str
    about: str
    outcome: str
    files: Mapping[str, File] = field(repr=False)
    reason: str = ""
    derived: bool = False


@dataclass(frozen=True)
class Made:
    """A family's file, as it will lie in a folder."""

    family: Family
    name: str
    file: File


def swapped(family: Family) -> Family:
    """Returns the family with commas for tabs and tabs for commas: TSV of the same cells."""
    table = bytes.maketrans(b",\t", b"\t,")

    def swap(file: File) -> File:
        return replace(file, content=lambda: file.bytes().translate(table))

    return replace(
        family,
        format="tsv",
        derived=True,
        files={name: swap(file) for name, file in family.files.items()},
    )


def packed(family: Family) -> Iterator[Family]:
    """Yields the family's first file compressed in both ways: the outcome is the same."""
    name, file = next(iter(family.files.items()))
    if len(file.bytes()) > 1 << 20:
        return
    for ending, pack in (("gz", gzipped), ("zst", zipped)):
        content = pack(file.bytes())
        yield replace(
            family,
            format=f"{family.format}.{ending}",
            files={name: replace(file, content=content)},
            derived=True,
        )
