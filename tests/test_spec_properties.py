"""What holds for every sound spec: it survives YAML, fits the schema, and names each column."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given

from skewless.schemas import SpecError, parse
from skewless.schemas.rows.raw_columns import raw_columns
from skewless.schemas.spec.json_schema import PUBLISHED
from tests.strategies import specs

SCHEMA = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text()))


@given(specs())
def test_a_sound_spec_round_trips_through_yaml(document: dict[str, Any]) -> None:
    spec = parse(document)
    again = parse(yaml.safe_load(spec.to_yaml()))
    assert again == spec
    assert again.sha256() == spec.sha256()


@given(specs())
def test_a_sound_spec_fits_the_published_schema(document: dict[str, Any]) -> None:
    SCHEMA.validate(document)
    SCHEMA.validate(yaml.safe_load(parse(document).to_yaml()))


@given(specs())
def test_an_unknown_key_of_a_feature_is_refused_by_both(document: dict[str, Any]) -> None:
    name = next(iter(document["features"]))
    document["features"][name] = {**document["features"][name], "lenghts": 1}
    with pytest.raises(SpecError, match=f"features.{name}: unknown key 'lenghts'"):
        parse(document)
    assert not SCHEMA.is_valid(document)


@given(specs())
def test_every_column_that_a_feature_reads_is_a_raw_column(document: dict[str, Any]) -> None:
    spec = parse(document)
    columns = raw_columns(spec)
    for name, feature in spec.features.items():
        for column in feature.columns_read(name):
            assert columns[column].kind == feature.kind
            assert columns[column].role == "feature"


def test_a_split_column_survives_the_spec_that_a_data_set_keeps() -> None:
    spec = parse({"name": "n", "features": {"a": {"type": "numeric"}}, "split": {"column": "fold"}})
    assert parse(yaml.safe_load(spec.to_yaml())) == spec
