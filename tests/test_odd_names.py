"""Names that meet what Python, Keras, TensorFlow, file systems or this project call something."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from skewless.model.exported.signatures import _argument_names
from skewless.model.network.build import build
from skewless.schemas import SpecError, parse
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import KEY, LABEL, WEIGHT, missing_name, tokens_name
from skewless.schemas.records.vocabulary_names import vocabulary_asset, vocabulary_file

NAMES = [
    "class",
    "self",
    "None",
    "lambda",
    "return",
    "cls",
    "merge",
    "predictions",
    "the",
    "add",
    "label",
    "weight",
    "key",
    "split",
    "fold",
    "name",
    "file",
    "row",
    "examples",
    "inputs",
    "outputs",
    "columns",
    "features",
    "training",
    "mask",
    "batch",
    "dense",
    "embedding",
    "feature",
    "id",
    "example",
    "tags",
    "Tags",
    "TAGS",
    "mean_tags",
    "embed_tags",
    "mask_tags",
    "tags_1",
    "hidden_0",
    "stack",
    "encoder",
    "decoder",
    "a_b",
    "MatMul",
    "Identity",
    "Const",
    "Placeholder",
    "StatefulPartitionedCall",
    "serving_default",
    "saver_filename",
]
LONG = "l" * 200
# As people, and other programs, call columns; the feature has a plain name.
COLUMNS = {
    "spaced": "a b",
    "dashed": "a-b",
    "slashed": "../a/b",
    "unicode": "größe",
    "digit": "1st",
    "long_column": "c" * 300,
    "line": "new\nline",
    "dotted": "embed.tags",
    "space": " ",
    "entry": "__missing__add",
    "weighted": "__weight__",
    "labelled": "__label__",
    # Another feature's column, whose own name is the label's column.
    "outcome": "label_not",
}
KINDS: list[dict[str, Any]] = [
    {"type": "categorical", "embedding": 2},
    {"type": "numeric", "scale": "z_score", "indicator": True},
    {"type": "text", "length": 2, "embedding": 2},
    {"type": "categorical", "length": 2, "embedding": 2, "encoder": "gru"},
    {"type": "numeric", "buckets": 3, "embedding": 2},
]


def document_of(names: list[str]) -> dict[str, Any]:
    features = {name: KINDS[place % len(KINDS)] for place, name in enumerate([*names, LONG])}
    # Names equal up to case must own a vocabulary each for their files to meet; groups are of these.
    features |= dict.fromkeys(["tags", "Tags", "TAGS", "self", "tags_1"], KINDS[0])
    features |= {
        name: {**KINDS[place % len(KINDS)], "column": column}
        for place, (name, column) in enumerate(COLUMNS.items())
    }
    return {
        "name": "odd / näme ..",
        "key": "the key",
        "features": features,
        "label": {"column": "outcome", "type": "binary"},
        "weight": "the weight",
        "keep": ["kept"],
        "split": {"train": 0.6, "eval": 0.4},
        "model": {
            "groups": {
                "the.merge": {"features": ["self", "tags_1"], "merge": "concatenate"},
                "0": {"features": ["tags", "Tags"], "merge": "cross"},
            },
            "hidden": [2],
        },
        "training": {"epochs": 1, "batch_size": 32},
    }


_LETTERS = st.sampled_from("aAbB_1")
_WORDS = st.sampled_from([*NAMES, *COLUMNS.values(), "é", "", "a.b", "a\n", "l" * 201, LONG])


@given(
    st.lists(
        st.one_of(_WORDS, st.text(_LETTERS, max_size=3), st.text(max_size=3)),
        min_size=1,
        max_size=8,
        unique=True,
    )
)
def test_accepted_names_are_apart_in_files_arguments_and_entries(names: list[str]) -> None:
    document = {"name": "n", "features": {name: {"type": "categorical"} for name in names}}
    try:
        spec = parse(document)
    except SpecError as error:
        # Refused for a name, each of which is told, and for nothing else.
        assert all(
            "expected a name of 1 to 200" in line or "NUL" in line for line in error.problems
        )
        assert any(not name.isidentifier() or not name.isascii() or len(name) > 200
                   or name.startswith("_") for name in names)  # fmt: skip
        return
    assert all(len(name) <= 200 for name in names)
    # What macOS's and Windows' file systems hold to be one name.
    files = [vocabulary_asset(spec, name) for name in names] + [LABEL]
    assert len({name.casefold() for name in files}) == len(files)
    assert all(len(os.fsencode(name)) < 255 and os.path.basename(name) == name for name in files)
    arguments = _argument_names(names)
    assert list(arguments.values()) == names
    assert len({name.casefold() for name in arguments}) == len(names)
    entries = [*names, KEY, LABEL, WEIGHT]
    entries += [entry(name) for name in names for entry in (missing_name, tokens_name)]
    assert len(set(entries)) == len(entries)


def test_a_file_of_before_is_found_under_its_owner(tmp_path: Path) -> None:
    spec = parse({"name": "n", "features": {"a": KINDS[0], "A": KINDS[0], "b": KINDS[0]}})
    assert [vocabulary_asset(spec, name) for name in "aAb"] == ["a-0", "A-1", "b"]
    (tmp_path / "A").touch()
    assert vocabulary_file(spec, "A", tmp_path) == tmp_path / "A"
    (tmp_path / "A-1").touch()
    assert vocabulary_file(spec, "A", tmp_path) == tmp_path / "A-1"


def test_they_build_a_network_whose_layers_are_apart() -> None:
    spec = parse(document_of(NAMES))
    entries = {LABEL: FeatureEntry(dtype="float32", shape=())}
    for name, feature in spec.features.items():
        number = feature.type == "numeric" and feature.buckets is None
        length = getattr(feature, "length", None)
        entries[name] = FeatureEntry(
            dtype="float32" if number else "int64",
            shape=(length,) if length else (),
            cardinality=None if number else 5,
        )
        if number:
            entries[missing_name(name)] = FeatureEntry(dtype="float32", shape=())
    layers = [layer.name for layer in build(spec, entries).layers]
    assert len(set(layers)) == len(layers) and set(spec.features) <= set(layers)
