"""The spec's reference: made from the types, complete, and with examples that load."""

from __future__ import annotations

from typing import Annotated

import pytest
import yaml
from pydantic import TypeAdapter

from skewless.schemas.spec.declared import Declared
from skewless.schemas.spec.encoders import Encoder
from skewless.schemas.spec.kinds.column import Column, FeatureKind
from skewless.schemas.spec.kinds.label_column import LabelColumn
from skewless.schemas.spec.kinds.sequences import StepsOfNumbers
from skewless.schemas.spec.network import ModelSpec
from skewless.schemas.spec.reference import PUBLISHED, SECTIONS, example_of, reference
from skewless.schemas.spec.spec import Spec

KEYS = [
    (declared, key) for _, types in SECTIONS for declared in types for key in declared.model_fields
]


def _all_types(base: type[Declared]) -> set[type[Declared]]:
    below = {kind for child in base.__subclasses__() for kind in {child, *_all_types(child)}}
    return {kind for kind in below if kind.__module__.startswith("skewless.schemas.")}


def test_the_page_is_what_the_types_say() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == reference(), (
        "run: python -m skewless.schemas.spec.reference"
    )


def test_every_declared_type_is_on_it() -> None:
    told = {declared for _, types in SECTIONS for declared in types}
    bases = {
        Column,
        FeatureKind,
        LabelColumn,
        StepsOfNumbers,
        *(kind for kind in _all_types(Declared) if kind.__name__.startswith("_")),
    }
    assert _all_types(Declared) - bases == told


@pytest.mark.parametrize(("declared", "key"), KEYS)
def test_a_key_has_a_meaning_and_an_example_of_its_type(declared: type[Declared], key: str) -> None:
    field = declared.model_fields[key]
    assert field.description or key == "type"
    value = yaml.safe_load(example_of(declared, key))
    if declared is Spec and key == "model":
        TypeAdapter(ModelSpec).validate_python({"type": "towers", **value})
    elif key == "encoder":
        TypeAdapter(Encoder).validate_python(value)
    else:
        TypeAdapter(Annotated[field.annotation, field]).validate_python(value)
