"""TFRecord files cut by pieces hold the records that a reader of the whole file sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.sources import plan, read
from skewless.beam_pipelines.sources.cutting.cuts import UnitSize
from skewless.beam_pipelines.sources.cutting.framed import scan_records
from skewless.beam_pipelines.sources.cutting.pieces import Piece
from skewless.beam_pipelines.sources.units import WorkUnit
from skewless.schemas.spec.spec import parse

SPEC = parse({"name": "t", "features": {"a": {"type": "categorical"}}})


def written(path: Path, records: list[bytes]) -> bytes:
    """Writes records by TensorFlow; returns the file's bytes."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path.read_bytes()


def serialized(text: bytes) -> bytes:
    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))
    features = tf.train.Features(feature={"a": value})
    return tf.train.Example(features=features).SerializeToString()


def seen(units: list[WorkUnit]) -> list[tuple[int, object]]:
    found: list[tuple[int, object]] = []
    for unit in units:
        for batch in read(unit, SPEC):
            values = batch.table.to_pydict().get("a", [None] * len(batch.rows))
            found += zip(batch.rows.tolist(), map(str, values), strict=True)
            found += [(entry.row, (entry.reason, entry.raw)) for entry in batch.rejected]
    return sorted(found, key=str)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kinds=st.lists(
        st.sampled_from(["short", "long", "zeros", "nested", "liar", "none"]), max_size=12
    ),
    size=st.integers(1, 200),
    damage=st.one_of(st.none(), st.floats(0, 0.999)),
    cut=st.sampled_from([0, 0, 1, 9]),
)
@example(kinds=["liar", "short", "long", "short"], size=24, damage=None, cut=0)
def test_records_of_pieces_are_those_of_the_file(
    kinds: list[str], size: int, damage: float | None, cut: int, tmp_path: Path
) -> None:
    inner = written(tmp_path / "inner.tfrecord", [b"x", b"", b"y" * 30])
    payloads = {
        "short": serialized(b"s"),
        "long": serialized(b"l" * 300),
        "zeros": bytes(90),
        # Its headers look as if records of this file began there.
        "nested": serialized(inner * 3),
        # A header whose record would go far behind the one that it lies in.
        "liar": serialized(b"l" * 20 + written(tmp_path / "liar.tfrecord", [b"z" * 100])[:12]),
        "none": b"",
    }
    path = tmp_path / "x.tfrecord"
    data = bytearray(written(path, [serialized(b"first"), *map(payloads.__getitem__, kinds)]))
    if damage is not None and len(data) > 40:
        # The first header stays: by it the file is what its name says.
        data[12 + int(damage * (len(data) - 12))] ^= 5
    path.write_bytes(data[: len(data) - cut])
    units = plan([str(path)], SPEC, unit_bytes=size)
    assert seen(units) == seen(plan([str(path)], SPEC))
    assert [unit.end for unit in units[:-1]] == [unit.start for unit in units[1:]]


def test_most_pieces_find_their_beginning_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    random = np.random.default_rng(1)
    records = [random.bytes(int(n)) for n in random.integers(0, 900, 3_000)]
    held = len(written(path, records))
    places = np.cumsum([0, *(len(record) + 16 for record in records)])
    whole = WorkUnit(str(path), "tfrecord")
    step = 50_000
    for begin in range(0, held, step):
        end = begin + step if begin + step < held else None
        found = scan_records(Piece(whole, "", begin, end, UnitSize(step)))
        inside = places[(places >= begin) & (places < (end or held))]
        assert (found.begin, found.count, found.whole) == (inside[0], len(inside), True)
