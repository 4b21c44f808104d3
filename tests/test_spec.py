"""The spec: what is accepted, what is refused, and with which words."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pydantic
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from skewless.schemas import SpecError, load, parse
from skewless.schemas.examples.generators import EXAMPLES, spec_path
from skewless.schemas.spec.json_schema import PUBLISHED, json_schema

# Made once: `jsonschema.validate` first checks the schema, each time.
SCHEMA = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text()))
CONTRACT = yaml.safe_load("""
name: reviews
key: review_id
features:
  title:   {type: text, length: 16, vocabulary: {max_size: 10000, min_count: 2}, embedding: 64, encoder: gru}
  body:    {type: text, length: 128, tokenizer: words, vocabulary: {max_size: 20000}, embedding: 128,
            encoder: {type: gru, units: 128}}
  note:    {type: text, length: 8, tokenizer: {regex: "[a-z]+"}, vocabulary: {shared_with: body}, ngrams: 2,
            truncate: start, pad: start, normalize: nfkc}
  user_id: {type: categorical, vocabulary: {min_count: 2}, oov_buckets: 4, embedding: 64}
  country: {type: categorical, embedding: one_hot}
  tags:    {type: categorical, length: 8, separator: "|", embedding: 16, encoder: mean}
  device:  {type: categorical, hash_buckets: 1000, embedding: 8}
  age:     {type: numeric, scale: z_score, missing: mean, indicator: true, clip: [0, 120]}
  price:   {type: numeric, buckets: 20, embedding: 8}
  ratios:  {type: numeric, columns: [r1, r2, r3], scale: min_max, encoder: {type: dense, units: 32}}
label:   {column: rating, type: binary, positive: [4, 5]}
weight:  null
split:   {train: 0.8, eval: 0.1, test: 0.1}
model:
  merge: concatenate
  projection: 64
  hidden: [128, 64]
  dropout: 0.1
training: {batch_size: 512, epochs: 5, optimizer: adam, learning_rate: 0.001, seed: 1, early_stopping: 2}
""")

Change = Callable[[dict[str, Any]], Any]


def _set(*path_and_value: Any) -> Change:
    *path, last, value = path_and_value

    def change(document: dict[str, Any]) -> None:
        for key in path:
            document = document[key]
        document[last] = value

    return change


REFUSED: list[tuple[Change, str]] = [
    (
        _set("features", "title", "lenght", 3),
        "features.title: unknown key 'lenght'; did you mean 'length'?",
    ),
    (_set("trainin", {}), "unknown key 'trainin'; did you mean 'training'?"),
    (
        _set("features", "title", "length", "long"),
        "features.title.length: input should be a valid integer",
    ),
    (
        _set("features", "title", "length", 0),
        "features.title.length: input should be greater than 0, got 0",
    ),
    (
        _set("features", "title", "encoder", "gruu"),
        "features.title.encoder.type: expected one of flatten, mean, max, mean_max, sum, gru",
    ),
    (
        _set("features", "title", "type", "txt"),
        "expected one of text, categorical, numeric, timestamp, cross, history, numeric_sequence, time_gaps, got 'txt'; did you mean 'text'?",
    ),
    (
        _set("features", "age", "encoder", "gru"),
        "features.age.encoder: numbers take dense or flatten, got 'gru'",
    ),
    (
        _set("features", "age", "clip", [9, 1]),
        "clip: expected [low, high] with low < high, got [9.0, 1.0]",
    ),
    (_set("features", "price", "embedding", None), "'buckets' needs 'embedding'"),
    (
        _set("features", "user_id", "hash_buckets", 9),
        "'hash_buckets' and 'vocabulary' exclude each other",
    ),
    (
        _set("features", "user_id", "oov_buckets", 0),
        "features.user_id.oov_buckets: input should be greater than 0",
    ),
    (_set("features", "country", "separator", ","), "'separator' needs 'length'"),
    (
        _set("features", "note", "vocabulary", {"shared_with": "bod"}),
        "features.note.vocabulary.shared_with: expected a feature with a vocabulary of its own",
    ),
    (
        _set("features", "rating", {"type": "numeric"}),
        "column 'rating' is the label; a feature of it would leak",
    ),
    (
        _set("features", "age2", {"type": "categorical", "column": "age"}),
        "features.age2: column 'age' is read as string here but as float32 by features.age",
    ),
    (_set("label", "type", "binry"), "label.type: expected one of binary, multiclass"),
    (_set("label", "positive", []), "positive: expected at least one value"),
    (_set("split", {"train": 0.5, "eval": 0.1}), "split: expected shares that sum to 1, got 0.6"),
    (_set("split", {"train": 0.0, "eval": 1.0}), "train: expected a share above 0"),
    (_set("split", {"column": "fold", "by": "x"}), "'column' names every row's split"),
    (_set("model", "merge", "dot"), "model.merge: dot takes exactly two towers, got 10"),
    (_set("model", "merge", "sum"), "model.merge: expected one of concatenate, average"),
    (_set("model", {"type": "seq2seq"}), "model.type: seq2seq goes with label.type: sequence"),
    (
        _set("model", "groups", {"g": {"features": ["title", "ages"]}}),
        "model.groups.g.features: no feature 'ages'; did you mean 'age'?",
    ),
    (
        _set("model", "groups", {"g": {"features": ["title", "age"]}}),
        "model.groups.g.features: expected all sequences or none, got a mix",
    ),
    (
        _set("model", "groups", {"g": {"features": ["title", "body"]}}),
        "model.groups.g.features: merged step by step, so every 'length' must be the same",
    ),
    (
        _set("training", "batch_size", -1),
        "training.batch_size: input should be greater than 0, got -1",
    ),
    (
        _set("preprocessing", "my module"),
        "preprocessing: expected module:function, got 'my module'",
    ),
    (_set("features", {}), "features: expected at least one feature"),
]


def test_the_contracts_spec_is_accepted_and_round_trips() -> None:
    spec = parse(CONTRACT)
    assert parse(yaml.safe_load(spec.to_yaml())) == spec
    assert spec.features["title"].encoder.type == "gru"


@pytest.mark.parametrize(
    ("change", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED]
)
def test_refusals_name_path_expectation_and_nearest(change: Change, message: str) -> None:
    document = copy.deepcopy(CONTRACT)
    change(document)
    with pytest.raises(SpecError) as caught:
        parse(document)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", [*EXAMPLES, "reviews"])
def test_examples_load_and_fit_the_published_schema(name: str) -> None:
    path = spec_path(name)
    spec = load(path)
    assert spec.name == name
    SCHEMA.validate(yaml.safe_load(path.read_text()))


def test_the_published_schema_is_current() -> None:
    assert PUBLISHED.read_text() == json_schema(), (
        "run: python -m skewless.schemas.spec.json_schema"
    )


def test_the_published_schema_refuses_unknown_keys() -> None:
    document = copy.deepcopy(CONTRACT)
    document["features"]["title"]["lenght"] = 3
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(document)


def test_a_spec_is_frozen() -> None:
    with pytest.raises(pydantic.ValidationError):
        parse(CONTRACT).name = "other"  # type: ignore[misc]


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(SpecError, match="is not YAML"):
        load(tmp_path / "bad.yaml")


def test_a_file_that_was_changed_is_read_anew_and_a_copy_is_not(tmp_path: Path) -> None:
    path, copy = tmp_path / "spec.yaml", tmp_path / "copy.yaml"
    path.write_text("name: one\nfeatures: {a: {type: numeric}}\n")
    copy.write_text(path.read_text())
    first = load(path)
    assert load(copy) is first
    path.write_text("name: other\nfeatures: {a: {type: numeric}}\n")
    assert (load(path).name, load(copy).name) == ("other", "one")


def test_what_shapes_records_is_all_that_the_digest_sees() -> None:
    spec = parse(CONTRACT)
    trained_otherwise = parse({**CONTRACT, "training": {"epochs": 9}, "model": {"merge": "cross"}})
    assert trained_otherwise.sha256() == spec.sha256()
    assert parse({**CONTRACT, "missing_values": ["-"]}).sha256() != spec.sha256()


_FEATURES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("text"), "length": st.integers(1, 64)},
        optional={
            "tokenizer": st.sampled_from(["words", "words_or_letters", "whitespace", "characters"]),
            "ngrams": st.integers(1, 3),
            "pad": st.sampled_from(["start", "end"]),
            "encoder": st.sampled_from(["mean", "gru", "cnn", "attention", "flatten"]),
        },
    ),
    st.fixed_dictionaries(
        {"type": st.just("categorical")},
        optional={
            "embedding": st.one_of(st.integers(1, 9), st.just("one_hot")),
            "oov_buckets": st.integers(1, 5),
        },
    ),
    st.fixed_dictionaries(
        {"type": st.just("numeric")},
        optional={
            "scale": st.sampled_from(["z_score", "min_max", "log1p", "none"]),
            "indicator": st.booleans(),
        },
    ),
)


@given(
    features=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True), _FEATURES, min_size=1, max_size=4
    )
)
def test_any_sound_spec_round_trips_and_fits_the_schema(features: dict[str, Any]) -> None:
    document = {"name": "any", "features": features}
    spec = parse(document)
    assert parse(yaml.safe_load(spec.to_yaml())) == spec
    SCHEMA.validate(document)
