"""Nasty files of every format: what each comes to, held against Python's csv and json."""

from __future__ import annotations

import functools
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import zstandard

from tests.nasty.attempt import attempt
from tests.nasty.outcomes import BAD

ROWS = b"a,b\n1,x\n2,y\n3,z\n"
gzipped = functools.partial(gzip.compress, mtime=0)
zipped = zstandard.ZstdCompressor().compress

# Of each file: its name, its bytes, what becomes of it, how many records it has and how many of
# them are rejected when every column is read as text.
TEXTS = [
    ("plain.csv", ROWS, "ok", 3, 0),
    ("no_last_line_end.csv", b"a,b\n1,x\n2,y", "ok", 2, 0),
    ("carriage_returns.csv", b"a,b\r1,x\r2,y\r", "ok", 2, 0),
    ("mixed_line_ends.csv", b"a,b\r\n1,x\n2,y\r3,z\r\n", "ok", 3, 0),
    ("blank_lines.csv", b"\n\na,b\n\n1,x\n\n\n2,y\n\n", "ok", 2, 0),
    ("byte_order_mark.csv", b"\xef\xbb\xbfa,b\n1,x\n", "ok", 1, 0),
    ("quoted.csv", b'a,b\n"1,5","x ""y"""\n"2\n3",y\n', "ok", 2, 0),
    ("quote_in_a_field.csv", b'a,b\n1,5" pipe\n2,y\n', "ok", 2, 0),
    ("text_after_a_quote.csv", b'a,b\n"1"2,x\n2,y\n', "ok", 2, 0),
    ("open_quote.csv", b'a,b\n1,x\n"2,y\n3,z\n', "rejected", 3, 1),
    ("widths.csv", b"a,b\n1\n2,y\n3,z,9\n4,w\n", "rejected", 4, 2),
    ("not_utf8.csv", b"a,b\n1,\xff\n2,y\n", "rejected", 2, 1),
    ("width_and_not_utf8.csv", b"a,b\n1,x\n2,\xe9,z\n3,y\n", "rejected", 3, 1),
    ("nul.csv", b"a,b\n1,x\x00y\n2,y\n", "ok", 2, 0),
    ("control.csv", b"a,b\n1,\x1b[31m\x07\n2,y\n", "ok", 2, 0),
    ("header_only.csv", b"a,b\n", "ok", 0, 0),
    ("empty.csv", b"", "refused", 0, 0),
    ("only_line_ends.csv", b"\n\n\n", "refused", 0, 0),
    ("utf16.csv", "a,b\n1,x\n".encode("utf-16"), "refused", 0, 0),
    ("header_not_utf8.csv", b"a,\xff\n1,x\n", "refused", 0, 0),
    ("one_column.csv", b"a\n1\n2\n", "ok", 2, 0),
    ("tabs.tsv", b"a\tb\n1\tx,y\n2\ty\n", "ok", 2, 0),
    ("packed.csv.gz", gzipped(ROWS), "ok", 3, 0),
    ("members.csv.gz", gzipped(ROWS) + gzipped(b"4,w\n"), "ok", 4, 0),
    ("packed.csv.zst", zipped(ROWS), "ok", 3, 0),
    ("not_packed.csv.gz", ROWS, "refused", 0, 0),
    ("parquet.csv", b"PAR1\x00\x00", "refused", 0, 0),
    ("plain.jsonl", b'{"a": "1", "b": "x"}\n{"a": "2"}\n', "ok", 2, 0),
    ("blank.jsonl", b'\n{"a": "1"}\n  \n{"a": "2"}\n', "ok", 2, 0),
    ("no_object.jsonl", b'{"a": "1"}\n[1]\n7\nnull\n"x"\n', "rejected", 5, 4),
    ("broken.jsonl", b'{"a": "1"}\n{"a": \n{"a": "2"}\n', "rejected", 3, 1),
    ("twice.jsonl", b'{"a": "1", "a": "2"}\n{"a": "3"}\n', "rejected", 2, 1),
    ("surrogate.jsonl", b'{"a": "\\ud800"}\n{"a": "2"}\n', "rejected", 2, 1),
    ("deep.jsonl", b'{"a": ' + b"[" * 500 + b"]" * 500 + b'}\n{"a": "2"}\n', "rejected", 2, 1),
    ("bare_words.jsonl", b'{"a": NaN}\n{"a": "2"}\n{"a": nul}\n', "rejected", 3, 1),
    ("not_utf8.jsonl", b'{"a": "\xff"}\n{"a": "2"}\n', "rejected", 2, 1),
    ("empty.jsonl", b"", "ok", 0, 0),
    ("text.parquet", ROWS, "refused", 0, 0),
    ("empty.parquet", b"", "refused", 0, 0),
    ("text.tfrecord", ROWS * 3, "refused", 0, 0),
]


@pytest.mark.parametrize(("name", "content", "kind", "read", "rejected"), TEXTS)
def test_each_file_comes_to_what_the_table_says(
    name: str, content: bytes, kind: str, read: int, rejected: int, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    outcome = attempt(tmp_path / name, "", ("text", "int64", "float32"))
    assert (outcome.kind, outcome.read, outcome.rejected) == (kind, read, rejected), outcome
    for _, reason in outcome.reasons.values():
        assert reason


def _parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": ["1", "2", None], "b": [[1], None, [2, 3]]}), sink)
    return bytes(sink.getvalue())


def _records(path: Path) -> bytes:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for text in (b"1", b"2"):
            value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))
            row = tf.train.Example(features=tf.train.Features(feature={"a": value}))
            writer.write(row.SerializeToString())
    return path.read_bytes()


def _damaged(sound: bytes, seed: int) -> Iterator[bytes]:
    """Yields the file cut at many places, and with single bits turned over."""
    chance = random.Random(seed)
    for end in sorted(chance.sample(range(len(sound)), min(12, len(sound)))):
        yield sound[:end]
    for _ in range(12):
        at = chance.randrange(len(sound))
        yield sound[:at] + bytes([sound[at] ^ (1 << chance.randrange(8))]) + sound[at + 1 :]


@pytest.mark.parametrize(
    "ending", [".csv", ".csv.gz", ".csv.zst", ".jsonl", ".parquet", ".tfrecord"]
)
def test_damage_never_ends_in_a_traceback(ending: str, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"a": str(x), "b": f"é{x}"}) + "\n" for x in range(5))
    sound = {
        ".csv": ROWS + 'ß,"q\nr"\n'.encode(),
        ".csv.gz": gzipped(ROWS),
        ".csv.zst": zipped(ROWS),
        ".jsonl": lines.encode(),
        ".parquet": _parquet(),
        ".tfrecord": _records(tmp_path / "sound.tfrecord"),
    }[ending]
    for at, content in enumerate(_damaged(sound, len(ending))):
        path = tmp_path / f"{at}{ending}"
        path.write_bytes(content)
        outcome = attempt(path, "", ("text",))
        assert outcome.kind not in BAD, outcome
