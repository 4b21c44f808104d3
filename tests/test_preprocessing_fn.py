"""Every kind of feature and label, from rows to IDs and numbers, through the real job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.transform.numeric import signed_log
from skewless.beam_pipelines.transform.preprocessing_fn import check_declared
from skewless.beam_pipelines.transform.record_entries import vocabulary_of
from skewless.schemas import parse
from skewless.schemas.errors import SpecError
from skewless.schemas.records.records import LABEL
from skewless.schemas.spec.label import SequenceLabel
from tests.transform_rows import transform_rows

Records = dict[str, dict[str, Any]]

SPEC = parse(
    {
        "name": "kinds",
        "key": "id",
        "missing_values": ["N/A"],
        "features": {
            "words": {"type": "text", "column": "text", "length": 4},
            "late": {
                "type": "text", "column": "text", "length": 3, "truncate": "start", "pad": "start",
                "vocabulary": {"shared_with": "words"},
            },
            "cased": {"type": "text", "column": "text", "length": 4, "lowercase": False, "tokenizer": "whitespace"},
            "letters": {"type": "text", "column": "text", "length": 5, "tokenizer": "characters"},
            "numbers": {"type": "text", "column": "text", "length": 3, "tokenizer": {"regex": "[0-9]+"}},
            "pairs": {"type": "text", "column": "text", "length": 8, "ngrams": 2},
            "city": {"type": "categorical", "vocabulary": {"min_count": 2}, "oov_buckets": 3},
            "code": {"type": "categorical", "dtype": "int64"},
            "hashed": {"type": "categorical", "column": "city", "hash_buckets": 10},
            "tags": {"type": "categorical", "length": 3, "separator": "|"},
            "age": {"type": "numeric", "scale": "z_score", "missing": "mean", "indicator": True},
            "ranged": {"type": "numeric", "column": "age", "scale": "min_max", "missing": "median", "clip": [10, 40]},
            "logged": {"type": "numeric", "column": "age", "scale": "log1p", "missing": -1.0},
            "bucket": {"type": "numeric", "column": "age", "buckets": 2, "embedding": 4},
            "vector": {"type": "numeric", "length": 2},
        },
        "label": {"column": "kind", "type": "multiclass"},
        "weight": "importance",
    }
)  # fmt: skip

ROWS: list[dict[str, Any]] = [
    {
        "text": "Don't stop, 42 DON'T''stop'' été",
        "city": "Paris",
        "code": 7,
        "tags": "a|b|",
        "age": 10,
        "vector": [1, 2],
        "kind": "x",
    },
    {
        "text": "stop",
        "city": "\u00a0Paris ",
        "code": 7,
        "tags": ["b", "c|d"],
        "age": 20,
        "vector": [3, 4],
        "kind": "x",
    },
    {"text": "", "city": "N/A", "code": None, "tags": "", "age": None, "vector": None, "kind": "y"},
    {
        "text": None,
        "city": "Lima",
        "code": 8,
        "tags": "a|b|c|d",
        "age": 50,
        "vector": [5, 6],
        "kind": "x",
    },
]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    rows = [{"id": f"r{place}", "importance": 2.0, **row} for place, row in enumerate(ROWS)]
    found, manifest = transform_rows(SPEC, rows, tmp_path_factory.mktemp("kinds"))
    assert manifest.rows.written == len(ROWS)
    for name, entry in manifest.features.items():
        for record in found.values():
            if entry.cardinality is not None:
                assert record[name].min() >= 0 and record[name].max() < entry.cardinality
    return found


def column(records: Records, name: str) -> list[Any]:
    return [records[f"r{row}"][name].tolist() for row in range(len(ROWS))]


def test_words_are_cut_counted_and_ranked(records: Records) -> None:
    # stop occurs 3 times, don't twice, then été and 42 by descending bytes.
    assert column(records, "words") == [[4, 3, 6, 4], [3, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_start_is_truncated_and_padded_and_shares_the_vocabulary(records: Records) -> None:
    # Both features count: stop 6, don't 4, 42 2, été 2.
    assert column(records, "late") == [[4, 3, 5], [0, 0, 3], [0, 0, 0], [0, 0, 0]]


def test_case_and_white_space(records: Records) -> None:
    assert len({*column(records, "cased")[0]}) == 4


def test_characters_and_matches(records: Records) -> None:
    assert np.count_nonzero(column(records, "letters")[1]) == 4
    assert column(records, "numbers") == [[3, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_ngrams_come_after_single_words(records: Records) -> None:
    assert np.count_nonzero(column(records, "pairs")[0]) == 8
    assert np.count_nonzero(column(records, "pairs")[1]) == 1


def test_categories(records: Records) -> None:
    city = column(records, "city")
    assert city[0] == city[1] == 5  # The first of the vocabulary: white space is stripped.
    assert city[2] == 1
    assert 2 <= city[3] < 5  # Seen once, so out of vocabulary.
    assert column(records, "code") == [3, 3, 1, 4]
    hashed = column(records, "hashed")
    assert hashed[0] == hashed[1] and hashed[2] == 1 and 2 <= hashed[3] < 12


def test_several_values_a_row(records: Records) -> None:
    # b 3 times; d, c and a twice.
    assert column(records, "tags") == [[6, 3, 0], [3, 5, 4], [0, 0, 0], [6, 3, 5]]


def test_numbers(records: Records) -> None:
    ages = np.array([10.0, 20.0, 50.0])
    mean, deviation = ages.mean(), ages.std()
    expected = [(value - mean) / deviation for value in (10, 20, mean, 50)]
    np.testing.assert_allclose(column(records, "age"), expected, rtol=1e-6)
    assert column(records, "__missing__age") == [0, 0, 1, 0]
    np.testing.assert_allclose(column(records, "ranged"), [0, 1 / 3, 1 / 3, 1], rtol=1e-6)
    np.testing.assert_allclose(
        column(records, "logged"),
        [np.log1p(10), np.log1p(20), -np.log1p(1), np.log1p(50)],
        rtol=1e-6,
    )
    assert column(records, "bucket") == [2, 3, 1, 3]
    assert column(records, "vector") == [[1, 2], [3, 4], [0, 0], [5, 6]]


def test_classes_are_ranked_by_count(records: Records) -> None:
    assert column(records, LABEL) == [0, 0, 1, 0]


LABELS: list[tuple[dict[str, Any], list[Any], Any]] = [
    ({"type": "binary", "positive": [4, 5]}, [5, 4.0, "5", 1], [[1.0], [1.0], [1.0], [0.0]]),
    ({"type": "binary"}, [True, "No", "yes", 0], [[1.0], [0.0], [1.0], [0.0]]),
    ({"type": "multilabel"}, ["a|b", "b", "b|c", "zz"], [[0, 1, 0, 0], [1, 0, 0, 0]]),
    ({"type": "regression", "scale": "z_score"}, [1, 2, 3, 2], [[-(2**0.5)], [0.0], [2**0.5], [0.0]]),
    ({"type": "regression", "scale": "log1p"}, [0, 1, -1, 3], [[0.0], [np.log(2)], [-np.log(2)], [np.log(4)]]),
    ({"type": "multiclass", "classes": ["b", "a"]}, ["a", "b", "a", "c"], [1, 0, 1]),
]  # fmt: skip


@pytest.mark.parametrize(("label", "values", "expected"), LABELS, ids=lambda value: str(value)[:40])
def test_labels(
    label: dict[str, Any], values: list[Any], expected: list[Any], tmp_path: Path
) -> None:
    spec = parse(
        {
            "name": "labels",
            "key": "id",
            "features": {"x": {"type": "numeric"}},
            "label": {"column": "y", **label},
        }
    )
    rows = [{"id": f"r{place}", "x": 1, "y": value} for place, value in enumerate(values)]
    found, manifest = transform_rows(spec, rows, tmp_path)
    if label["type"] == "multilabel":
        expected = [[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
        order = [
            vocabulary_of(spec, LABEL, str(tmp_path / "out/transform")).index(c)
            for c in (b"a", b"b", b"c", b"zz")
        ]
        got = [found[f"r{row}"][LABEL][order].tolist() for row in range(4)]
        assert got == expected
        return
    got = [found[f"r{row}"][LABEL].tolist() for row in range(len(expected))]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert manifest.rows.rejected == len(values) - len(expected)


@pytest.mark.parametrize("targets", [["un deux", "deux", "deux trois"], ["...", "!", "?"]])
def test_a_sequence_ends_with_the_end_id(targets: list[str], tmp_path: Path) -> None:
    """Even where no target holds a token, and the vocabulary is empty."""
    spec = parse(
        {
            "name": "sequence",
            "key": "id",
            "features": {"x": {"type": "text", "length": 2}},
            "label": {"column": "y", "type": "sequence", "length": 2},
            "model": {"type": "seq2seq"},
        }
    )
    assert isinstance(spec.label, SequenceLabel)
    rows = [{"id": f"r{place}", "x": "a", "y": target} for place, target in enumerate(targets)]
    found, manifest = transform_rows(spec, rows, tmp_path)
    entry = manifest.features[LABEL]
    assert entry.cardinality is not None and entry.vocabulary_size is not None
    assert entry.cardinality == 2 + 1 + entry.vocabulary_size + 2
    for record in found.values():
        ids = record[LABEL]
        assert ids[np.count_nonzero(ids) - 1] == entry.cardinality - 1


def test_a_bad_expression_is_refused_before_any_data_is_read() -> None:
    feature = {"type": "text", "length": 2, "tokenizer": {"regex": "(a"}}
    spec = parse({"name": "bad", "features": {"x": feature}})
    with pytest.raises(
        SpecError, match=r"features\.x\.tokenizer\.regex: expected an RE2 expression, got '\(a'"
    ):
        check_declared(spec)


_TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=12)), min_size=1, max_size=12)


@settings(
    max_examples=3,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(texts=_TEXTS)
def test_any_text_keeps_the_id_contract(
    texts: list[str | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    spec = parse(
        {
            "name": "any",
            "key": "id",
            "features": {
                "words": {
                    "type": "text",
                    "column": "x",
                    "length": 3,
                    "vocabulary": {"min_count": 2},
                },
                "one": {
                    "type": "categorical",
                    "column": "x",
                    "oov_buckets": 2,
                    "vocabulary": {"max_size": 2},
                },
            },
        }
    )
    rows = [{"id": str(place), "x": text} for place, text in enumerate(texts)]
    directory = tmp_path_factory.mktemp("any")
    found, manifest = transform_rows(spec, rows, directory)
    entries = manifest.features
    for name, oov in (("words", 1), ("one", 2)):
        vocabulary = vocabulary_of(spec, name, str(directory / "out/transform"))
        assert entries[name].vocabulary_size == len(vocabulary) == len(set(vocabulary))
        assert entries[name].cardinality == 2 + oov + len(vocabulary)
    for record in found.values():
        words, one = record["words"], int(record["one"])
        assert words.min() >= 0 and words.max() < entries["words"].cardinality
        assert 1 not in words
        true = np.count_nonzero(words)
        assert (words[:true] > 0).all() and (words[true:] == 0).all()
        assert 1 <= one < entries["one"].cardinality


@pytest.mark.slow
def test_tensorflow_text_normalises_and_cuts_pieces(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_text")
    base = {"type": "text", "column": "x", "length": 6}
    spec = parse(
        {
            "name": "text",
            "key": "id",
            "features": {
                "plain": {**base, "normalize": "strip_accents"},
                "compatible": {**base, "normalize": "nfkc"},
                "pieces": {**base, "tokenizer": "subword", "vocabulary": {"max_size": 60}},
            },
        }
    )
    rows = [
        {"id": "r0", "x": "été"},
        {"id": "r1", "x": "ete"},
        {"id": "r2", "x": "\ufb01ne"},
        {"id": "r3", "x": "fine"},
    ]
    rows += [{"id": f"w{place}", "x": "walking walked talking talked"} for place in range(5)]
    found, _ = transform_rows(spec, rows, tmp_path)
    assert found["r0"]["plain"].tolist() == found["r1"]["plain"].tolist()
    assert found["r2"]["compatible"].tolist() == found["r3"]["compatible"].tolist()
    assert np.count_nonzero(found["w0"]["pieces"]) >= 4


@given(
    values=st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
        min_size=1, max_size=40,
    ),
    cut=st.integers(0, 40),
)  # fmt: skip
def test_a_logarithm_is_the_same_in_a_batch_of_any_size(values: list[float], cut: int) -> None:
    numbers = np.array(values, np.float32)
    exact = np.log1p(np.abs(numbers.astype(np.float64))) * np.sign(numbers)
    parts = [part for part in (numbers[:cut], numbers[cut:]) if len(part)]
    found = np.concatenate([signed_log(tf.constant(part)).numpy() for part in parts])
    np.testing.assert_array_equal(found, exact.astype(np.float32))
