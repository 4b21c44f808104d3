"""gzip and Zstandard: members and frames, headers, and streams that are cut or damaged."""

from __future__ import annotations

import gzip
import io
import struct
import zlib

import zstandard

from tests.nasty.corpus.family import ANY, Family, File, gzipped, zipped
from tests.nasty.corpus.tfrecords import ONE, TWO, framed

__all__ = ["FAMILIES"]

ROWS = b"a,b\n" + b"".join(b"%d,x%d\n" % (at, at * 7919 % 1000) for at in range(200))
LINES = b"".join(b'{"a": "%d", "b": "x%d"}\n' % (at, at * 7919 % 1000) for at in range(200))
RECORDS = framed(*[ONE, TWO] * 50)
GZ, ZST = gzipped(ROWS), zipped(ROWS)


def _flagged(flags: int, extra: bytes) -> bytes:
    """Returns a gzip member whose header has more fields than it must."""
    raw = zlib.compressobj(wbits=-15)
    body = raw.compress(ROWS) + raw.flush()
    header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(4) + b"\x00\xff" + extra
    return header + body + struct.pack("<II", zlib.crc32(ROWS), len(ROWS))


def _frame(data: bytes, **options: int) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)


def _streamed(data: bytes) -> bytes:
    sink = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(sink, closefd=False) as writer:
        writer.write(data)
    return sink.getvalue()


def _cuts(data: bytes, *places: int) -> dict[str, File]:
    return {f"at_{place}": File(data[:place], None, None) for place in places}


FAMILIES = [
    Family(
        "csv.gz",
        "members and headers that gzip allows",
        "ok",
        {
            "two_members": File(GZ + gzipped(b"7,y\n"), 201),
            "cut_between_members_amid_a_row": File(gzipped(ROWS[:50]) + gzipped(ROWS[50:]), 200),
            "an_empty_member": File(GZ + gzipped(b""), 200),
            "an_empty_member_first": File(gzipped(b"") + GZ, 200),
            "noughts_behind": File(GZ + bytes(1000), 200),
            "noughts_between": File(GZ + bytes(7) + gzipped(b"7,y\n"), 201),
            "a_name": File(_flagged(8, b"rows.csv\x00"), 200),
            "a_comment": File(_flagged(16, b"x\x00"), 200),
            "extra": File(_flagged(4, struct.pack("<H", 6) + b"BC\x02\x00\x00\x00"), 200),
            "stored": File(gzip.compress(ROWS, 0, mtime=0), 200),
            "a_hundred_members": File(
                b"".join(gzipped(line + b"\n") for line in ROWS.split(b"\n")[:100]), 99
            ),
        },
    ),
    Family(
        "csv.zst",
        "frames that Zstandard allows",
        "ok",
        {
            "two_frames": File(ZST + zipped(b"7,y\n"), 201),
            "a_skippable_frame": File(b"\x50\x2a\x4d\x18" + struct.pack("<I", 5) + b"hello" + ZST, 200),
            "a_skippable_frame_behind": File(ZST + b"\x5f\x2a\x4d\x18" + bytes(4), 200),
            "an_empty_frame": File(ZST + zipped(b""), 200),
            "no_size": File(_streamed(ROWS), 200),
            "a_checksum": File(zstandard.ZstdCompressor(write_checksum=True).compress(ROWS), 200),
            "level_22": File(_frame(ROWS, level=22), 200),
        },
    ),
    Family(
        "csv.gz",
        "a stream that is cut off, with rows before",
        "rejected",
        {"at_the_end": File(GZ[:-1], 201, 1), "before_its_checksum": File(GZ[:-8], 201, 1)},
        "cannot be decompressed",
    ),
    Family(
        "csv.gz",
        "a small stream whose checksum or length is wrong",
        "refused",
        {"checksum": File(GZ[:-8] + bytes(4) + GZ[-4:]), "length": File(GZ[:-4] + bytes(4))},
        "cannot be decompressed",
    ),
    Family(
        "csv.gz",
        "a stream that is damaged behind its rows",
        "rejected",
        {
            "text_behind": File(GZ + b"this is no member", 201, 1),
            "half_a_member_behind": File(GZ + GZ[:12], 201, 1),
        },
        "cannot be decompressed",
    ),
    Family(
        "csv.zst",
        "a stream that is cut off or damaged behind its rows",
        "rejected",
        {
            "text_behind": File(ZST + b"this is no frame", 201, 1),
            "half_a_frame_behind": File(ZST + ZST[:8], 201, 1),
        },
        "cannot be decompressed",
    ),
    *(
        Family(f"{kind}.{packed}", "a stream cut off anywhere", ANY, _cuts(
            data, 0, 1, 2, 3, 4, 9, 10, 11, 12, 18, len(data) // 4, len(data) // 2, len(data) - 9,
            len(data) - 4,
        ))
        for kind, content in (("csv", ROWS), ("jsonl", LINES), ("tfrecord", RECORDS))
        for packed, data in (("gz", gzipped(content)), ("zst", zipped(content)))
        if (kind, packed) != ("tfrecord", "zst")
    ),
    Family(
        "csv.gz",
        "files that are no gzip",
        "refused",
        {
            "text": File(ROWS),
            "zstandard": File(ZST),
            "zlib": File(zlib.compress(ROWS)),
            "magic": File(b"\x1f\x8b"),
            "another_method": File(b"\x1f\x8b\x07" + GZ[3:]),
            "reserved_flags": File(GZ[:3] + b"\xe0" + GZ[4:]),
            "noughts_before": File(bytes(5) + GZ),
            "twice": File(gzipped(GZ)),
        },
        "expected gzip|cannot be decompressed|expected delimited text",
    ),
    Family(
        "csv.zst",
        "files that are no Zstandard",
        "refused",
        {
            "text": File(ROWS),
            "gzip": File(GZ),
            "magic": File(b"\x28\xb5\x2f\xfd"),
            "reserved_bit": File(ZST[:4] + b"\xff" + ZST[5:]),
            "twice": File(zipped(ZST)),
        },
        "expected Zstandard|cannot be decompressed|expected delimited text",
    ),
    Family(
        "tfrecord.gz",
        "members and streams of TFRecords",
        "ok",
        {
            "sound": File(gzipped(RECORDS), 100),
            "two_members": File(gzipped(framed(ONE)) + gzipped(framed(TWO)), 2),
            "cut_between_members_amid_a_record": File(gzipped(RECORDS[:7]) + gzipped(RECORDS[7:]), 100),
            "empty": File(gzipped(b""), 0),
        },
    ),
]  # fmt: skip
