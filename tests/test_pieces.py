"""Texts cut and numbered by Arrow, against the operations of the graph."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.beam_pipelines.analysis import counts as counts_module
from skewless.beam_pipelines.analysis.counts import AnalysisTotals
from skewless.beam_pipelines.analysis.token_counts import TextCounter
from skewless.beam_pipelines.rows import pieces as pieces_module
from skewless.beam_pipelines.rows.pieces import Pieces, read_by_no_other, texts_in_pieces
from skewless.schemas import Spec, parse
from skewless.schemas.rows.prepare import prepare
from skewless.schemas.rows.raw_columns import raw_columns
from skewless.schemas.rows.row_encoding import sparse_tensors
from skewless.schemas.rows.tokenizers import WHITE_SPACES, stripped, tokenize

_SPEC = {
    "name": "pieces",
    "features": {"body": {"type": "text", "length": 8}, "title": {"type": "text", "length": 8}},
    "label": {"column": "label", "type": "binary"},
    "missing_values": ["NA", "not there"],
    "model": {"merge": "concatenate", "hidden": [4]},
    "training": {"batch_size": 4, "epochs": 1},
}
_TEXTS = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from(["NA", " NA\u2003", "not there ", "NA NA", "", "  "]),
        st.lists(
            st.sampled_from(["a", "B's", " ", "  ", "NA", "\u00a0", "\n", "\u03a3", "x-y", "."]),
            max_size=9,
        ).map("".join),
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture(scope="module")
def spec() -> Spec:
    return parse(_SPEC)


@settings(max_examples=100, deadline=None)
@given(st.lists(_TEXTS, min_size=1, max_size=3), st.integers(0, 3), st.integers(1, 40))
def test_the_tokens_of_pieces_are_those_of_the_texts(spec, batches, skipped, most):
    pieces, counter = Pieces(), TextCounter(_tokens_of(spec))
    expected: Counter[bytes] = Counter()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pieces_module, "_MOST_PIECES", most)
        for texts in batches:
            # A part of a longer array, whose texts begin anywhere in its bytes.
            column = pa.array(["left out"] * skipped + texts, pa.string())[skipped:]
            cut = pieces.cut(spec, {"body": column})["body"]
            counter.add(cut, pieces)
            rows = _tokens(spec, column)
            expected.update(token for row in rows for token in row)
            whole = _by_piece(spec, pieces, cut, _sizes(spec, column))
            assert whole == rows
            assert pieces.kept <= most
    assert counter.take(pieces) == expected
    assert counter.take(pieces) == {}


def test_numbers_of_kept_pieces_stay(spec):
    pieces = Pieces()
    title = pa.array(["b c", None])
    first = pieces.cut(spec, {"body": pa.array(["a b", "c"]), "title": title})
    assert len(first["title"]) == 2 and _sizes(spec, title) == [2, 0]
    again = pieces.cut(spec, {"body": pa.array(["c", "d a b"])})["body"]
    kept = pieces.dictionary.to_pylist()
    assert [kept[code] for code in again] == ["c", "d ", "a ", "b"]
    assert again[0] == first["body"][2] and again[3] == first["body"][1]


@pytest.mark.parametrize("together", [1, 40, 1 << 20])
def test_texts_are_counted_however_many_are_cut_together(spec, monkeypatch, together):
    monkeypatch.setattr(counts_module, "_CUT_TOGETHER", together)
    texts = [f"word{row % 7} Word{row % 3} only{row}" for row in range(60)]
    totals = AnalysisTotals(spec)
    found: Counter[str] = Counter()
    for begin in range(0, 60, 6):
        totals.add(_rows(texts[begin : begin + 6]), {})
        if begin == 30:
            _add_counted(found, totals.take())
    _add_counted(found, totals.take())
    assert found == Counter(" ".join(texts).lower().split())
    assert totals.take().num_rows == 0


def test_pieces_that_are_new_each_time_are_not_waited_for(spec, monkeypatch):
    monkeypatch.setattr(pieces_module, "_MOST_PIECES", 16)
    totals = AnalysisTotals(spec)
    for batch in range(4):
        texts = [" ".join(f"w{batch}x{row}x{place}" for place in range(9)) for row in range(6)]
        totals.add(_rows(texts), {})
        assert totals._texts["body"].held[0] >= 54 * (batch + 1) - 16  # Kept ones wait by number.


def test_no_text_has_no_pieces(spec):
    pieces = Pieces()
    for texts in (pa.array([], pa.string()), pa.nulls(3, pa.string()), pa.array(["", ""])):
        cut = pieces.cut(spec, {"body": texts})["body"]
        assert len(cut) == 0 and _sizes(spec, texts) == [0] * len(texts)


def test_white_space_is_what_the_graph_strips():
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    bare = stripped(tf.constant([character.encode() for character in every])).numpy()
    assert [c for c, left in zip(every, bare, strict=True) if not left] == sorted(WHITE_SPACES)


def test_only_texts_cut_at_spaces_and_read_alone_are_left_out_of_the_graph(spec):
    features = {
        "body": {"type": "text", "length": 8},
        "phrases": {"type": "text", "length": 8, "ngrams": 2},
        "title": {"type": "text", "length": 8},
        "known_title": {"type": "categorical", "column": "title"},
    }
    other = parse({**_SPEC, "features": features})
    assert set(texts_in_pieces(other)) == {"body", "title"}
    assert read_by_no_other(other, {"body", "title"}) == ["body"]


def _rows(bodies: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"body": bodies, "title": pa.nulls(len(bodies), pa.string())})


def _add_counted(found: Counter[str], table: pa.Table) -> None:
    for row in table.to_pylist():
        found[row["token"].decode()] += row["count"]


def _tokens_of(spec: Spec):
    declared = spec.features["body"]
    return lambda pieces: tokenize(pieces, declared)


def _tokens(spec: Spec, texts: pa.Array) -> list[list[bytes]]:
    rows = pa.record_batch([texts], ["body"])
    return prepare(spec, sparse_tensors(rows, raw_columns(spec)))["body"].to_list()


def _sizes(spec: Spec, texts: pa.Array) -> list[int]:
    """Returns how many pieces each text has, cut alone."""
    return [len(Pieces().cut(spec, {"x": texts[row : row + 1]})["x"]) for row in range(len(texts))]


def _by_piece(spec: Spec, pieces: Pieces, codes: np.ndarray, sizes: list[int]):
    told = pieces.dictionary.take(pa.array(codes, pa.int32())).to_pylist()
    tokens = _tokens_of(spec)(tf.constant([piece.encode() for piece in told], tf.string)).to_list()
    ends = np.cumsum(sizes)
    return [
        [token for piece in tokens[end - size : end] for token in piece]
        for end, size in zip(ends, sizes, strict=True)
    ]
