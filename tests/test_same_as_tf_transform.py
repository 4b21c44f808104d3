"""The job against stock tf.Transform on the same rows: its analysers, its lookup, its scaling.

The stock graph takes our tokenizer's ops, since tf.Transform has none, and shifts its IDs to the
ID contract; vocabularies must agree byte for byte and records value for value.
"""

from __future__ import annotations

import collections
import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_transform import impl_helper
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from skewless.beam_pipelines.running.local_runner import pipeline_options
from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.numeric import constants_of
from skewless.beam_pipelines.transform.preprocessing_fn import make_preprocessing_fn
from skewless.schemas import parse
from skewless.schemas.records.constants import load_numbers
from skewless.schemas.rows.raw_columns import raw_columns, raw_feature_spec
from skewless.schemas.rows.tokenizers import clean_values, tokenize
from skewless.schemas.spec.features import TextFeature
from tests.conftest import DataSet
from tests.transform_rows import transform_rows

LENGTH, WORDS, MIN_COUNT = 5, 12, 2
FIRST = 3

SPEC = parse(
    {
        "name": "same",
        "key": "id",
        "features": {
            "text": {"type": "text", "length": LENGTH, "vocabulary": {"max_size": WORDS}},
            "user": {"type": "categorical", "vocabulary": {"min_count": MIN_COUNT}},
            "age": {"type": "numeric", "scale": "z_score", "missing": 0.0},
            "rank": {"type": "numeric", "column": "age", "scale": "min_max"},
        },
    }
)

Row = dict[str, Any]


def _stock_fn(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    feature = SPEC.features["text"]
    assert isinstance(feature, TextFeature)
    tokens = tokenize(inputs["text"], feature)
    words = tft.vocabulary(tokens.flat_values, top_k=WORDS, vocab_filename="text")
    users = clean_values(inputs["user"], ())
    known = tft.vocabulary(
        tf.boolean_mask(users, users != ""), frequency_threshold=MIN_COUNT, vocab_filename="user"
    )
    ids = tokens.with_flat_values(
        tft.apply_vocabulary(tokens.flat_values, words, default_value=-1) + FIRST
    )
    user = tft.apply_vocabulary(users, known, default_value=-1) + FIRST
    return {
        "id": inputs["id"],
        "text": ids.to_tensor(0, shape=[None, LENGTH]),
        "user": tf.where(users == "", tf.constant(1, tf.int64), user),
        "age": tft.scale_to_z_score(inputs["age"]),
        "rank": tft.scale_to_0_1(inputs["age"]),
    }


def _stock(rows: list[Row], directory: Path) -> tuple[list[Row], dict[str, bytes]]:
    string = tf.io.FixedLenFeature([], tf.string)
    columns = {
        "id": string,
        "text": string,
        "user": string,
        "age": tf.io.FixedLenFeature([], tf.float32),
    }
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(columns))
    output = str(directory / "stock.npy")
    with (
        beam.Pipeline(options=pipeline_options()) as pipeline,
        tft_beam.Context(temp_dir=str(directory / "temporary")),
    ):
        raw = pipeline | beam.Create([{**row, "text": row["text"].encode()} for row in rows])
        (transformed, _), transform_fn = (
            raw,
            metadata,
        ) | tft_beam.AnalyzeAndTransformDataset(_stock_fn)
        _ = transform_fn | tft_beam.WriteTransformFn(str(directory / "fitted"))
        _ = (
            transformed
            | beam.combiners.ToList()
            | beam.Map(lambda found: np.save(output, np.array(found, object)))
        )
    assets = directory / "fitted" / "transform_fn" / "assets"
    records: list[Row] = list(np.load(output, allow_pickle=True))
    return records, {name: (assets / name).read_bytes() for name in ("text", "user")}


def _same(rows: list[Row], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    stock, vocabularies = _stock(rows, directory)
    ours, _ = transform_rows(SPEC, rows, directory)
    assets = directory / "out" / "transform" / "transform_fn" / "assets"
    for name, expected in vocabularies.items():
        assert (assets / name).read_bytes() == expected
    integers = collections.Counter(
        (record["id"], *np.ravel(record["text"]).tolist(), int(record["user"])) for record in stock
    )
    assert integers == collections.Counter(
        (key.encode(), *record["text"].tolist(), int(record["user"]))
        for key, record in ours.items()
    )
    for record in stock:
        mine = ours[record["id"].decode()]
        np.testing.assert_allclose(mine["age"], record["age"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(mine["rank"], record["rank"], rtol=1e-5, atol=1e-6)


_ANY_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=30)
_WORDS = st.lists(
    st.sampled_from(["été", "ÉTÉ", "don't", "日本", "b", "B", "a", "ſ", "Σς", "İx", "x'", "٣٤"]),
    max_size=9,
).map(" ".join)
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.one_of(_ANY_TEXT, _WORDS),
            "user": st.sampled_from(["u1", "u2", " u2", "ü", "日", "u3", "u4 "]),
            "age": st.floats(-1e4, 1e4, width=32),
        }
    ),
    min_size=4,
    max_size=40,
)


def _numbered(rows: list[Row]) -> list[Row]:
    # Stock min-max of a constant column is a sigmoid, and both vocabularies want an entry.
    fixed = [
        {"text": "été a", "user": "u1", "age": -3.0},
        {"text": "été b", "user": "u1", "age": 7.5},
    ]
    return [{"id": f"r{place}", **row} for place, row in enumerate([*rows, *fixed])]


@pytest.mark.slow
def test_ties_and_cuts_are_stock(tmp_path: Path) -> None:
    rows = [
        {"text": f"w{place} é{place % 7} same", "user": f"u{place % 9}", "age": float(place)}
        for place in range(40)
    ]
    _same(_numbered(rows), tmp_path)


@pytest.mark.slow
@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(rows=_ROWS)
def test_any_text_gives_stock_vocabularies_and_records(
    rows: list[Row], tmp_path_factory: pytest.TempPathFactory
) -> None:
    _same(_numbered(json.loads(json.dumps(rows))), tmp_path_factory.mktemp("same"))


def test_tf_transform_reads_what_is_written(shop: DataSet) -> None:
    """Our writer leaves what tf.Transform's own would: its loader takes the graph and the schema."""
    directory = str(shop.directory / "transform")
    output = tft.TFTransformOutput(directory)
    columns = raw_feature_spec(raw_columns(shop.spec))
    texts = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"good thing"]))
        for name, column in columns.items()
        if column.dtype == tf.string
    }
    rows = [tf.train.Example(features=tf.train.Features(feature=texts)), tf.train.Example()]
    raw = tf.io.parse_example([row.SerializeToString() for row in rows], columns)
    loaded = tf.saved_model.load(output.transform_savedmodel_dir).transform_fn(raw)
    theirs = output.transform_raw_features(raw)
    for name, value in loaded.items():
        np.testing.assert_array_equal(theirs[name].numpy(), value.numpy(), err_msg=name)
    assert set(output.transformed_feature_spec()) == set(loaded)
    found = {name: entry.dtype for name, entry in output.transformed_feature_spec().items()}
    assert found == {name: value.dtype for name, value in loaded.items()}


def test_the_schema_of_the_outputs_is_tf_transforms(shop: DataSet, tmp_path: Path) -> None:
    spec, written = shop.spec, shop.directory / "transform"
    assets = written / "transform_fn" / "assets"
    vocabularies = {path.name: str(path) for path in assets.iterdir()}
    constants = Constants(vocabularies, constants_of(load_numbers(written)))
    features = raw_feature_spec(raw_columns(spec))
    impl_helper.analyze_in_place(
        make_preprocessing_fn(spec, constants),
        force_tf_compat_v1=False,
        feature_specs=features,
        type_specs={
            name: tf.SparseTensorSpec([None, None], feature.dtype)
            for name, feature in features.items()
        },
        transform_output_path=str(tmp_path),
    )
    schema = Path("transformed_metadata", "schema.pbtxt")
    assert (tmp_path / schema).read_text() == (written / schema).read_text()
