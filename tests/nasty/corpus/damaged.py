"""Sound files of every format, damaged: cut, bits turned over, stretches lost, doubled or blanked."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.nasty.corpus.compressed import GZ, LINES, RECORDS, ZST
from tests.nasty.corpus.family import ANY, Family, File, gzipped, zipped
from tests.nasty.corpus.parquet import sound

__all__ = ["families"]

_ROWS = b'a,b\n1,x\n"2","y ""z"""\n"3\n4",\xc3\xa9\n5,\xe2\x82\xac\r\n6,"q,r"\n'


def families(seed: int, files: int) -> Iterator[Family]:
    """Yields for every format a family of `files` damaged files of each sort of damage."""
    for format, content in {
        "csv": _ROWS,
        "csv.gz": GZ,
        "csv.zst": ZST,
        "tsv": _ROWS.replace(b",", b"\t"),
        "jsonl": LINES[:400],
        "jsonl.gz": gzipped(LINES),
        "jsonl.zst": zipped(LINES),
        "parquet": sound(),
        "tfrecord": RECORDS[:400],
        "tfrecord.gz": gzipped(RECORDS),
    }.items():
        chance = random.Random(f"{seed} {format}")
        made = {
            f"{sort.__name__[1:]}_{at}": File(sort(content, chance), None, None)
            for sort in (_cut, _bit, _lost, _doubled, _blanked, _noise, _swapped)
            for at in range(files)
        }
        yield Family(format, "damage anywhere", ANY, made)


def _stretch(content: bytes, chance: random.Random) -> tuple[int, int]:
    begin = chance.randrange(len(content))
    return begin, min(len(content), begin + chance.choice((1, 2, 4, 8, 64)))


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def _bit(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]


def _lost(content: bytes, chance: random.Random) -> bytes:
    begin, end = _stretch(content, chance)
    return content[:begin] + content[end:]


def _doubled(content: bytes, chance: random.Random) -> bytes:
    begin, end = _stretch(content, chance)
    return content[:end] + content[begin:]


def _blanked(content: bytes, chance: random.Random) -> bytes:
    begin, end = _stretch(content, chance)
    return content[:begin] + chance.choice((b"\x00", b"\xff")) * (end - begin) + content[end:]


def _noise(content: bytes, chance: random.Random) -> bytes:
    begin, end = _stretch(content, chance)
    return content[:begin] + chance.randbytes(end - begin) + content[end:]


def _swapped(content: bytes, chance: random.Random) -> bytes:
    begin, end = _stretch(content, chance)
    middle = chance.randrange(begin, end + 1)
    return content[:begin] + content[middle:end] + content[begin:middle] + content[end:]
