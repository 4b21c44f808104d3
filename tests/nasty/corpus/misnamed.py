"""Files whose ending says one thing and whose bytes say another."""

from __future__ import annotations

import bz2
import io
import lzma
import sqlite3
import zipfile

import pyarrow as pa
import pyarrow.feather
import pyarrow.orc

from tests.nasty.corpus.compressed import LINES, ROWS
from tests.nasty.corpus.family import ANY, Family, File, gzipped, zipped
from tests.nasty.corpus.parquet import sound
from tests.nasty.corpus.tfrecords import ONE, framed

__all__ = ["FAMILIES"]


def _zip() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(zipfile.ZipInfo("rows.csv", (2026, 1, 1, 0, 0, 0)), ROWS)
    return sink.getvalue()


def _arrow(stream: bool) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"a": ["1"], "b": ["x"]})
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _orc() -> bytes:
    sink = pa.BufferOutputStream()
    pa.orc.write_table(pa.table({"a": ["1"]}), sink)
    return bytes(sink.getvalue())


def _database() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table rows (a)")
        return connection.serialize() if hasattr(connection, "serialize") else b"SQLite format 3\0"


OTHERS = {
    "gzip": gzipped(ROWS),
    "zstandard": zipped(ROWS),
    "parquet": sound(),
    "tfrecord": framed(ONE),
    "zip": _zip(),
    "bzip2": bz2.compress(ROWS),
    "xz": lzma.compress(ROWS),
    "arrow": _arrow(stream=False),
    "arrow_stream": _arrow(stream=True),
    "orc": _orc(),
    "avro": b"Obj\x01\x04\x16avro.schema",
    "sqlite": _database(),
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "excel": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
}


def _as(ending: str, reason: str, *own: str) -> Family:
    files = {name: File(content) for name, content in OTHERS.items() if name not in own}
    return Family(ending, "what another ending would be right for", "refused", files, reason)


FAMILIES = [
    _as("csv", "by its first bytes it is"),
    _as("tsv", "by its first bytes it is"),
    _as("jsonl", "by its first bytes it is"),
    _as("csv.gz", "by its first bytes it is", "gzip"),
    _as("jsonl.zst", "by its first bytes it is", "zstandard"),
    _as("parquet", "expected a Parquet file", "parquet"),
    _as("tfrecord", "expected TFRecords", "tfrecord"),
    _as("tfrecord.gz", "by its first bytes it is|expected TFRecords"),
    _as("txt", "expected an ending of"),
    _as("json", "expected an ending of"),
    Family(
        "csv",
        "other text than delimited",
        ANY,
        {
            "json_lines": File(LINES, None, None),
            "page": File(b"<!DOCTYPE html>\n<html>\n<body>404</body>\n</html>\n", None, None),
            "tabs": File(ROWS.replace(b",", b"\t"), None, None),
            "semicolons": File(ROWS.replace(b",", b";"), None, None),
            "bars": File(ROWS.replace(b",", b"|"), None, None),
            "one_line": File(ROWS.replace(b"\n", b" "), None, None),
        },
    ),
    Family(
        "jsonl",
        "other text than JSON lines",
        ANY,
        {
            "csv": File(ROWS, None, None),
            "one_list": File(b"[" + LINES.strip().replace(b"\n", b",\n") + b"]", None, None),
            "yaml": File(b"- a: 1\n- a: 2\n", None, None),
        },
    ),
]
