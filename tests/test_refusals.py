"""Slips that a lenient reader would let pass: each is refused, in one line, under its path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from skewless.schemas import SpecError, load, parse

BINARY = {"column": "y", "type": "binary"}
SEQUENCES = {
    "a": {"type": "text", "length": 4, "embedding": 8},
    "b": {"type": "categorical", "length": 4, "embedding": 16},
}
NAMES_IN_QUOTES = (
    "YAML reads yes, no, on, off and numbers as values, so put the name in quotes"
)  # fmt: skip


def _feature(**declared: Any) -> dict[str, Any]:
    return {"name": "n", "features": {"a": declared}, "label": BINARY}


def _label(**declared: Any) -> dict[str, Any]:
    return {
        "name": "n",
        "features": {"a": {"type": "numeric"}},
        "label": {"column": "y", **declared},
    }


def _sequence(**declared: Any) -> dict[str, Any]:
    return {
        "name": "n",
        "features": {"a": {"type": "text", "length": 3}},
        "label": {"column": "y", "type": "sequence", "length": 3, **declared},
        "model": {"type": "seq2seq"},
    }


def _top(**declared: Any) -> dict[str, Any]:
    return {**_feature(type="numeric"), **declared}


REFUSED: list[tuple[dict[str, Any], str]] = [
    (_feature(type="numeric", missing="avg"),
     "features.a.missing: expected one of mean, median or a number, got 'avg'"),
    (_feature(type="numeric", missing=float("nan")),
     "features.a.missing: expected one of mean, median or a number, got nan"),
    (_feature(type="numeric", missing=True), "features.a: missing: expected a number, got True"),
    (_feature(type="text", length=True), "features.a: length: expected a number, got True"),
    (_feature(type="text", length=3, tokenizer="word"),
     "features.a.tokenizer: expected one of words, words_or_letters, whitespace, "
     "characters, subword or {regex: EXPRESSION}, got 'word'; did you mean 'words'?"),
    (_feature(type="text", length=3, tokenizer={"regx": "a"}),
     "features.a.tokenizer: unknown key 'regx'; did you mean 'regex'? (valid keys: regex)"),
    (_feature(type="categorical", embedding="onehot"),
     "features.a.embedding: expected one_hot or a whole number above 0, got 'onehot'; "
     "did you mean 'one_hot'?"),
    (_feature(type="categorical", embedding=0),
     "features.a.embedding: expected one_hot or a whole number above 0, got 0"),
    (_top(features={True: {"type": "numeric"}}),
     f"features: expected names as text, got True; {NAMES_IN_QUOTES}"),
    (_top(features={7: {"type": "numeric"}}),
     f"features: expected names as text, got 7; {NAMES_IN_QUOTES}"),
    (_top(missing_values=[False]),
     "missing_values[0]: input should be a valid string, got False; put it in quotes"),
    (_top(training={"learning_rate": float("inf")}),
     "training.learning_rate: input should be a finite number, got inf"),
    (_label(type="multiclass", classes=[]),
     "label.classes: expected at least one class, or none declared to take them from the data"),
    (_label(type="multiclass", classes=["a", "a"]),
     "label.classes: expected each class once, got 'a' twice"),
    (_label(type="multilabel", classes=["a\nb"]),
     "label.classes: expected names on one line without outer white space, got 'a\\nb'"),
    (_label(type="binary", positive=[5], negative=["5.0"]),
     "label: '5' is in both 'positive' and 'negative'"),
    (_top(key="y"), "key: column 'y' is the label; name another column"),
    (_top(split={"by": "y"}), "split.by: column 'y' is the label; name another column"),
    (_top(split={"column": "y"}), "split.column: column 'y' is the label; name another column"),
    (_sequence(vocabulary={"shared_with": "a"}),
     "label.vocabulary.shared_with: a sequence label counts a vocabulary of its own; "
     "remove it, or give both the same 'file'"),
    (_top(features=SEQUENCES, model={"groups": {"g": {"features": ["a", "b"], "merge": "add"}}}),
     "model.groups.g.merge: add needs equal widths, got [8, 16]; "
     "give the features one embedding width, or use concatenate"),
]  # fmt: skip

YAML_REFUSED = [
    ("name: n\nfeatures:\n  a: {type: numeric}\n  a: {type: text, length: 3}\n",
     "line 4: key 'a' is given twice, first on line 3; keep one"),
    ("name: n\nname: m\n", "line 2: key 'name' is given twice, first on line 1; keep one"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "line"), REFUSED, ids=[f"{i}-{line[:30]}" for i, (_, line) in enumerate(REFUSED)]
)
def test_one_slip_is_one_line(document: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(document)
    assert caught.value.problems == (line,)


@pytest.mark.parametrize(("text", "line"), YAML_REFUSED)
def test_a_key_given_twice_is_refused(text: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load(path)
    assert caught.value.problems == (line,)


def test_a_key_may_override_what_it_merges(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "name: n\nfeatures:\n  a: &a {type: numeric, scale: z_score}\n  b: {<<: *a, scale: none}\n"
    )
    features = load(path).features
    assert (features["a"].scale, features["b"].scale) == ("z_score", "none")


def test_all_slips_are_told_at_once() -> None:
    document = _feature(type="numeric", missing="avg")
    document["training"] = {"optimizer": "Adam"}
    with pytest.raises(SpecError) as caught:
        parse(document)
    assert [line.split(":")[0] for line in caught.value.problems] == [
        "features.a.missing",
        "training.optimizer",
    ]


def test_the_spec_is_read_without_tensorflow() -> None:
    code = (
        "import sys, schemas; print(sorted({'tensorflow', 'pyarrow', 'keras'} & set(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "[]"
