"""TFRecord: frames, checksums, and what the records hold."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import google_crc32c
from tensorflow.core.example.example_pb2 import Example, SequenceExample
from tensorflow.core.example.feature_pb2 import Feature

from tests.nasty.corpus.family import Family, File

__all__ = ["FAMILIES", "example", "framed"]

Value = Sequence[bytes | str | int | float] | None


def _masked(data: bytes) -> bytes:
    value = google_crc32c.value(data)
    return struct.pack("<I", (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(*records: bytes) -> bytes:
    """Returns records in TFRecord's frame: length, its checksum, the record, its checksum."""
    parts = []
    for record in records:
        length = struct.pack("<Q", len(record))
        parts += [length, _masked(length), record, _masked(record)]
    return b"".join(parts)


def _header(length: int) -> bytes:
    """Returns a sound header that says any length."""
    packed = struct.pack("<Q", length)
    return packed + _masked(packed)


def example(**values: Value) -> bytes:
    """Returns a serialized tf.Example; None makes a feature of no kind."""
    row = Example()
    for name, items in values.items():
        feature = row.features.feature[name]
        for item in items or ():
            if isinstance(item, (bytes, str)):
                text = item if isinstance(item, bytes) else item.encode()
                feature.bytes_list.value.append(text)
            elif isinstance(item, int):
                feature.int64_list.value.append(item)
            else:
                feature.float_list.value.append(item)
        if items is not None and not items:
            feature.bytes_list.SetInParent()
    return bytes(row.SerializeToString(deterministic=True))


ONE, TWO = example(a=["1"], b=["x"]), example(a=["2"], b=["y"])
_FRAME = framed(ONE)


def _tfrecord(about: str, outcome: str, reason: str = "", **files: File) -> Family:
    return Family("tfrecord", about, outcome, files, reason)


def _records(*records: bytes, rejected: int = 0) -> File:
    return File(framed(*records), len(records), rejected)


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    return bytes([*data, number])


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _by_hand(key: bytes, feature: bytes) -> bytes:
    """Returns a tf.Example of one feature, whatever its key's bytes and its own are."""
    return _field(1, _field(1, _field(1, key) + _field(2, feature)))


def _noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


_TEXT = _field(1, _field(1, b"x"))
_WHOLE = Feature(int64_list={"value": [1]}).SerializeToString()

FAMILIES = [
    _tfrecord(
        "features of every kind",
        "ok",
        texts=_records(ONE, TWO, example(a=[""], b=["🦆"])),
        whole=_records(example(a=[1]), example(a=[2**63 - 1]), example(a=[-(2**63)])),
        fractions=_records(example(a=[0.5]), example(a=[3.0]), example(a=[1e38])),
        no_numbers=_records(example(a=[float("nan")]), example(a=[float("inf")])),
        of_no_kind=_records(example(a=None), ONE),
        of_no_value=_records(example(a=[]), ONE),
        none=_records(b"", example(), ONE),
        some_missing=_records(example(a=["1"]), example(b=["x"]), example(c=[1])),
        none_at_all=File(b"", 0),
        two_hundred=_records(example(**{f"c{at}": [at] for at in range(200)})),
        controls=_records(example(a=["x\x00y"]), example(a=["\x1b[31m"])),
        many=_records(*(example(a=[str(at)], b=[at]) for at in range(300))),
    ),
    _tfrecord(
        "a feature of one kind here and another there",
        "ok",
        text_then_whole=_records(example(a=["1"]), example(a=[1]), example(a=["x"])),
        whole_then_fraction=_records(example(a=[1]), example(a=[1.0]), example(a=[1.5])),
        all=_records(example(a=["1"]), example(a=[1]), example(a=[1.0]), example(a=None)),
        no_number=_records(example(a=[float("nan")]), example(a=["x"]), example(a=[1])),
        not_exact=_records(example(a=[0.1]), example(a=[1e38]), example(a=["x"]), example(a=[0.1])),
        late=_records(*([example(a=[1])] * 50), example(a=["x"])),
    ),
    _tfrecord(
        "several values where one is wanted",
        "rejected",
        "expected one value, got 2",
        texts=_records(ONE, example(a=["1", "2"]), rejected=1),
        whole=_records(example(a=[1]), example(a=[1, 2]), rejected=1),
        mixed_kinds=_records(example(a=[1]), example(a=["x", "y"]), example(a=[1.5]), rejected=1),
    ),
    _tfrecord(
        "texts that are not UTF-8",
        "rejected",
        "not UTF-8",
        one=_records(ONE, example(a=[b"\xff"]), rejected=1),
        surrogate=_records(ONE, example(a=[b"\xed\xa0\x80"]), rejected=1),
        packed_numbers=_records(ONE, example(a=[_noise(1, 64)]), rejected=1),
    ),
    _tfrecord(
        "records that are no tf.Example",
        "rejected",
        "not a tf.Example",
        noise=_records(ONE, _noise(2, 40), TWO, rejected=1),
        text=_records(ONE, b"a,b\n1,x\n", rejected=1),
        cut_off=_records(ONE, TWO[:-3], rejected=1),
        an_endless_length=_records(ONE, b"\x0a" + b"\xff" * 9 + b"\x01", rejected=1),
        a_wrong_wire_type=_records(ONE, b"\x0f\x00", rejected=1),
        a_key_that_is_not_utf8=_records(ONE, _by_hand(b"\xff", _TEXT), rejected=1),
    ),
    _tfrecord(
        "odd records that protobuf takes for tf.Example",
        "ok",
        unknown_fields=_records(ONE, ONE + _field(9, b"xyz")),
        twice_in_one=_records(ONE + TWO, TWO),
        a_key_twice=_records(_by_hand(b"a", _TEXT) + _by_hand(b"a", _WHOLE), ONE),
        two_kinds_in_a_feature=_records(_by_hand(b"a", _TEXT + _WHOLE), ONE),
        a_sequence=_records(SequenceExample(context={"feature": {}}).SerializeToString(), ONE),
        an_empty_key=_records(_by_hand(b"", _TEXT), ONE),
        a_long_key=_records(_by_hand(b"n" * 5000, _TEXT), ONE),
    ),
    _tfrecord(
        "a record whose checksum fails",
        "rejected",
        "fails its checksum",
        of_its_data=File(_FRAME[:-6] + b"\xff" + _FRAME[-5:] + framed(TWO), 2, 1),
        of_its_checksum=File(_FRAME[:-1] + b"\xff" + framed(TWO), 2, 1),
        of_all=File((_FRAME[:-1] + b"\xff") * 3, 3, 3),
        of_the_second_length=File(_FRAME + b"\xff" + framed(TWO, ONE)[1:], 2, 1),
        of_the_second_lengths_checksum=File(_FRAME + _FRAME[:8] + bytes(4) + _FRAME[12:], 2, 1),
        noughts_behind=File(_FRAME + bytes(100), 2, 1),
        noise_behind=File(_FRAME + _noise(3, 100), 2, 1),
        text_behind=File(_FRAME + b"this is no record at all", 2, 1),
    ),
    _tfrecord(
        "a file that ends inside a record",
        "rejected",
        "the file ends inside",
        header=File(_FRAME + framed(TWO)[:5], 2, 1),
        data=File(_FRAME + framed(TWO)[:20], 2, 1),
        checksum=File(_FRAME + framed(TWO)[:-1], 2, 1),
        before_the_data=File(_FRAME + framed(TWO)[:12], 2, 1),
        a_gigabyte_that_is_not_there=File(_FRAME + _header(1 << 30) + b"x", 2, 1),
        one_byte=File(b"\x00", 1, 1),
    ),
    _tfrecord(
        "lengths that no record has",
        "rejected",
        "fails its checksum|ends inside",
        beyond_the_limit=File(_FRAME + _header(1 << 40), 2, 1),
        all_bits=File(_FRAME + _header(2**64 - 1) + b"x" * 50, 2, 1),
    ),
    _tfrecord(
        "files that are no TFRecords",
        "refused",
        "expected TFRecords",
        text=File(b"a,b\n1,x\n" * 5),
        noughts=File(bytes(100)),
        noise=File(_noise(4, 100)),
        first_length_wrong=File(b"\xff" + _FRAME[1:]),
        serialized_alone=File(ONE),
    ),
]  # fmt: skip
