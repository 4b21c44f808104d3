"""Every merge of every kind of feature that the spec accepts builds a model, without any data."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, get_args

import keras
import pytest

from skewless.model.network.build import build
from skewless.model.network.towers import inputs_of, towers_of
from skewless.schemas import Spec, SpecError, parse
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.spec.network import Merge

Document = dict[str, Any]
_CATEGORY = {"type": "categorical"}
_NUMBER = {"type": "numeric"}
_LIST = {"type": "categorical", "length": 3}
_ID = FeatureEntry(dtype="int64", shape=(), cardinality=8)
_IDS = FeatureEntry(dtype="int64", shape=(3,), cardinality=8)
_FLOAT = FeatureEntry(dtype="float32", shape=())
# Each kind with the record's entry that goes with it, as preprocessing would leave it.
VECTORS: dict[str, tuple[Document, FeatureEntry]] = {
    "category": ({**_CATEGORY, "embedding": 4}, _ID),
    "category_one_hot": ({**_CATEGORY, "embedding": "one_hot"}, _ID),
    "hashed": ({**_CATEGORY, "hash_buckets": 6, "embedding": 4}, _ID),
    "hashed_one_hot": ({**_CATEGORY, "hash_buckets": 6, "embedding": "one_hot"}, _ID),
    "number": (_NUMBER, _FLOAT),
    "number_indicator": ({**_NUMBER, "indicator": True}, _FLOAT),
    "number_dense": ({**_NUMBER, "encoder": {"type": "dense", "units": 4}}, _FLOAT),
    "numbers": ({**_NUMBER, "length": 2}, FeatureEntry(dtype="float32", shape=(2,))),
    "buckets": ({**_NUMBER, "buckets": 6, "embedding": 4}, _ID),
    "buckets_one_hot": ({**_NUMBER, "buckets": 6, "embedding": "one_hot"}, _ID),
    "buckets_indicator": ({**_NUMBER, "buckets": 6, "embedding": 3, "indicator": True}, _ID),
}
SEQUENCES: dict[str, tuple[Document, FeatureEntry]] = {
    "text": ({"type": "text", "length": 3, "embedding": 4}, _IDS),
    "list": ({**_LIST, "embedding": 4}, _IDS),
    "list_hashed": ({**_LIST, "hash_buckets": 6, "embedding": 5}, _IDS),
    "list_one_hot": ({**_LIST, "embedding": "one_hot"}, _IDS),
}
STEPWISE = {"concatenate", "average", "add", "multiply", "maximum"}


def _document(kinds: Mapping[str, str], model: Document) -> Document:
    return {
        "name": "n",
        "features": {name: {**VECTORS, **SEQUENCES}[kind][0] for name, kind in kinds.items()},
        "label": {"column": "y", "type": "binary"},
        "model": {"hidden": [2], **model},
    }


def _entries(spec: Spec, kinds: Mapping[str, str]) -> dict[str, FeatureEntry]:
    entries = {"__label__": _FLOAT}
    for name, kind in kinds.items():
        entries[name] = {**VECTORS, **SEQUENCES}[kind][1]
        if getattr(spec.features[name], "indicator", False):
            entries[f"__missing__{name}"] = _FLOAT
    return entries


def _output(spec: Spec, kinds: Mapping[str, str]) -> tuple[int | None, ...]:
    return build(spec, _entries(spec, kinds)).output.shape


def _group(document: Document, kinds: Mapping[str, str]) -> keras.KerasTensor:
    """Returns the vector of the document's one group."""
    spec = parse(document)
    entries = _entries(spec, kinds)
    return towers_of(spec, entries, inputs_of(entries))["g"]


def _widths(kinds: Mapping[str, str]) -> list[int]:
    """Returns the members' widths, as towers or steps of their own have them."""
    spec = parse(_document(kinds, {}))
    entries = _entries(spec, kinds)
    return [tower.shape[-1] for tower in towers_of(spec, entries, inputs_of(entries)).values()]


def _pairs(kinds: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns each kind beside one of its own, and every two neighbours."""
    names = list(kinds)
    return [*zip(names, names, strict=True), *itertools.pairwise(names)]


@pytest.mark.parametrize("pair", [*_pairs(VECTORS), *_pairs(SEQUENCES)], ids="-".join)
def test_a_group_builds_or_is_refused_for_its_widths_or_its_steps(pair: tuple[str, str]) -> None:
    kinds = dict(zip("ab", pair, strict=True))
    sequences = pair[0] in SEQUENCES
    equal = len(set(_widths(kinds))) == 1
    # Of two kinds those merges that treat widths differently tell all.
    for merge in get_args(Merge) if pair[0] == pair[1] else ("concatenate", "maximum", "cross"):
        document = _document(kinds, {"groups": {"g": {"features": ["a", "b"], "merge": merge}}})
        where = f"model.groups.g.merge: {merge}"
        if sequences and merge not in STEPWISE:
            with pytest.raises(SpecError, match=f"{where} merges vectors; sequences take concat"):
                parse(document)
        elif not equal and merge not in ("concatenate", "cross"):
            with pytest.raises(SpecError, match=f"{where} needs equal widths, got") as caught:
                _group(document, kinds)
            # Only the number of values that the data holds is not known before.
            if not {"category_one_hot", "list_one_hot"} & set(pair):
                with pytest.raises(SpecError, match="needs equal widths"):
                    parse(document)
            assert "give the features one embedding width" in str(caught.value)
        else:
            assert _group(document, kinds).shape[0] is None


@pytest.mark.parametrize("merge", get_args(Merge))
def test_towers_of_every_kind_are_merged(merge: str) -> None:
    every = [*VECTORS, *SEQUENCES]
    for kinds in [every[:2], every[-2:]] if merge == "dot" else [every]:
        named = {f"f{place}": kind for place, kind in enumerate(kinds)}
        spec = parse(_document(named, {"merge": merge, "projection": 4}))
        assert _output(spec, named) == (None, 1)


@pytest.mark.parametrize("merge", ["concatenate", "dot", "attention", "cross"])
def test_a_group_of_three_and_its_merge_share_a_network_with_the_same_merge(merge: str) -> None:
    # Groups called as layers are numbered, or as they are named, and alike but for a space.
    members = {"0": "ab", "a b": "cd", "a_b": "ef", "the.merge": "gh"}
    kinds = dict.fromkeys("abcdefgh", "category") | {"x": "text"}
    groups = {
        name: {"features": list(names), "merge": merge, "encoder": {"type": "dense", "units": 4}}
        for name, names in members.items()
    }
    top = "cross" if merge == "dot" else merge
    spec = parse(_document(kinds, {"merge": top, "groups": groups}))
    assert _output(spec, kinds) == (None, 1)
    three = dict.fromkeys("abc", "category")
    document = _document(three, {"groups": {"g": {"features": list("abc"), "merge": merge}}})
    if merge == "dot":
        with pytest.raises(SpecError, match=r"groups\.g\.merge: dot takes exactly two features"):
            parse(document)
    else:
        assert _group(document, three).shape[0] is None


def test_a_convolution_size_given_twice_is_refused() -> None:
    document = _document({"a": "text"}, {})
    document["features"]["a"] |= {"encoder": {"type": "cnn", "kernel_sizes": [2, 3, 2]}}
    with pytest.raises(SpecError, match=r"kernel_sizes: expected each size once, got \[2, 3, 2\]"):
        parse(document)
