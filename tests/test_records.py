"""Record entries: names that no feature can take, and dense parsing as the manifest says."""

from __future__ import annotations

import pytest
import tensorflow as tf

from skewless.schemas import SpecError, parse
from skewless.schemas.records.manifest import FeatureEntry, Manifest, Rows
from skewless.schemas.records.records import (
    KEY,
    LABEL,
    LABEL_MEAN,
    LABEL_SCALE,
    WEIGHT,
    is_diagnostic,
    missing_name,
    record_feature_spec,
    tokens_name,
)

OURS = (KEY, LABEL, WEIGHT, LABEL_MEAN, LABEL_SCALE, missing_name("a"), tokens_name("a"))


@pytest.mark.parametrize("name", OURS)
def test_no_feature_can_take_our_names(name: str) -> None:
    with pytest.raises(SpecError, match="starts with a letter"):
        parse({"name": "n", "features": {name: {"type": "numeric"}}})


def test_diagnostics_are_not_written() -> None:
    assert [name for name in OURS if is_diagnostic(name)] == [
        LABEL_MEAN,
        LABEL_SCALE,
        tokens_name("a"),
    ]


def test_a_record_parses_dense_by_the_manifest() -> None:
    manifest = Manifest(
        spec_sha256="",
        transform_sha256="",
        rows=Rows(read=1, written=1, rejected=0, duplicate=0),
        splits={},
        features={
            "ids": FeatureEntry(dtype="int64", shape=(2,), cardinality=9),
            "age": FeatureEntry(dtype="float32", shape=()),
            KEY: FeatureEntry(dtype="string", shape=()),
        },
    )
    record = tf.train.Example()
    record.features.feature["ids"].int64_list.value.extend([4, 0])
    record.features.feature["age"].float_list.value.append(1.5)
    record.features.feature[KEY].bytes_list.value.append(b"r1")
    parsed = tf.io.parse_single_example(record.SerializeToString(), record_feature_spec(manifest))
    assert parsed["ids"].numpy().tolist() == [4, 0]
    assert (parsed["age"].numpy(), parsed[KEY].numpy()) == (1.5, b"r1")
