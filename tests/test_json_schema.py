"""The published JSON Schema: what editors accept is what loading accepts, short forms too."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from skewless.schemas import SpecError, parse
from skewless.schemas.spec.json_schema import PUBLISHED

VALIDATOR = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text()))


def _text(**declared: Any) -> dict[str, Any]:
    return {"name": "n", "features": {"a": {"type": "text", "length": 3, **declared}}}


@pytest.mark.parametrize(
    "document",
    [
        _text(encoder="gru"),
        _text(encoder={"type": "gru", "units": 3}),
        _text(tokenizer={"regex": "a"}),
        {**_text(), "model": {"merge": "add"}},
        {**_text(), "model": {}},
        {**_text(), "split": {"train": 1.0}},
        {**_text(), "label": {"column": "y", "type": "binary", "positive": [4, "five", True]}},
    ],
)
def test_short_forms_fit_both(document: dict[str, Any]) -> None:
    parse(document)
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "document",
    [
        _text(encoder="gruu"),
        _text(encoder={"units": 3}),
        _text(encoder=["gru"]),
        _text(tokenizer="word"),
        _text(length=True),
        {"name": "", "features": {"a": {"type": "numeric"}}},
        {"name": "n", "features": {"a": {}}},
        {**_text(), "label": {"column": "y"}},
        {**_text(), "model": {"type": "tower"}},
    ],
)
def test_slips_fit_neither(document: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        parse(document)
    assert not VALIDATOR.is_valid(document)


def test_the_published_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(PUBLISHED.read_text()))
