"""Texts of IDs, and how good they are said to be: against joins and a BLEU of our own."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.transform.lookup import wordpieces
from skewless.model.evaluate import as_table, evaluate
from skewless.model.export import export
from skewless.model.exported.served_model import ServedModel
from skewless.model.exported.texts import Texts
from skewless.model.metrics.translated.scores import Translations
from skewless.model.train import train
from skewless.schemas import parse
from skewless.schemas.records.vocabulary_file import write_vocabulary
from skewless.schemas.rows.json_rows import canonical_rows
from skewless.schemas.spec.label import SequenceLabel


def _label(**more: Any) -> SequenceLabel:
    return SequenceLabel(column="y", length=5, **more)


def _ids(tokens: list[str], vocabulary: list[str], first: int) -> list[int]:
    return [vocabulary.index(token) + first if token in vocabulary else 2 for token in tokens]


@pytest.mark.parametrize(
    ("tokenizer", "tokens", "text"),
    [
        ("words", ["le", "chat", "dort"], "le chat dort"),
        ("whitespace", ["l'été,", "##x", "où?"], "l'été, ##x où?"),
        ("characters", ["l", "e", " ", "é"], "le é"),
        ("words_or_letters", ["用", "iphone", "打", "电", "话"], "用iphone 打电话"),
        ("subword", ["un", "##fold", "##ing", "le", "chat", "##s"], "unfolding le chats"),
        ("subword", ["##ing", "a"], "ing a"),
        ("words", [], ""),
    ],
)
def test_tokens_are_put_together_as_they_were_cut(
    tokenizer: str, tokens: list[str], text: str
) -> None:
    vocabulary = sorted(set(tokens))
    size = 2 + 2 + len(vocabulary) + 2
    texts = Texts(
        _label(tokenizer=tokenizer, oov_buckets=2), [token.encode() for token in vocabulary], size
    )
    ids = [*_ids(tokens, vocabulary, 4), size - 1, 0, 0]
    assert texts(tf.constant([[ids]], tf.int64)).numpy().tolist() == [[text.encode()]]


def test_a_token_outside_the_vocabulary_says_so_or_nothing() -> None:
    ids = tf.constant([[4, 2, 3, 5, 7, 0]], tf.int64)
    label = _label(oov_buckets=2)
    assert Texts(label, [b"a", b"b"], 8)(ids).numpy()[0] == b"a [unknown] [unknown] b"
    assert Texts(label, [b"a", b"b"], 8, unknown=b"")(ids).numpy()[0] == b"a b"


def test_words_come_back_from_their_pieces(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_text")
    pieces = [b"talk", b"walk", b"##ed", b"##ing", b"t", b"##o", b"o", b"##ld"]
    write_vocabulary(str(tmp_path / "pieces"), pieces)
    rows = [["talked", "walking", "to"], [], ["told", "old", "to"]]
    cut = wordpieces(tf.ragged.constant(rows, dtype=tf.string), str(tmp_path / "pieces"))
    assert cut.row_lengths().numpy().tolist() == [6, 0, 7]
    texts = Texts(_label(tokenizer="subword"), pieces, 3 + len(pieces) + 2)
    ids = [[pieces.index(piece) + 3 for piece in row] for row in cut.numpy().tolist()]
    padded = tf.ragged.constant(ids, dtype=tf.int64).to_tensor()
    assert texts(padded).numpy().tolist() == [" ".join(row).encode() for row in rows]


def _bleu(written: list[str], asked: list[str]) -> float:
    """Papineni et al. 2002, of words between spaces."""
    precisions = []
    for size in range(1, 5):
        matched = total = 0
        for one, other in zip(written, asked, strict=True):
            grams, wanted = (
                Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))
                for words in (one.split(), other.split())
            )
            matched, total = matched + sum((grams & wanted).values()), total + sum(grams.values())
        precisions.append(math.log(matched / total))
    lengths = [sum(len(text.split()) for text in texts) for texts in (written, asked)]
    return 100 * math.exp(sum(precisions) / 4 + min(0.0, 1 - lengths[1] / lengths[0]))


def test_bleu_is_the_papers_and_beside_it_stands_that_of_a_copy() -> None:
    pytest.importorskip("sacrebleu")
    asked = ["the cat sat on the mat now", "a dog ran through the big park", "so"]
    written = ["the cat sat on the mat", "a dog ran in the big park there", "so"]
    source = ["la cat sat on the tapis là", "a dog ran through le parc", "si"]
    texts = (
        np.array([text.encode() for text in some], object) for some in (written, asked, source)
    )
    found = Translations(*texts)
    figures = found.metrics()
    assert figures["bleu"] == pytest.approx(_bleu(written, asked), abs=1e-3)
    assert figures["copy_bleu"] == pytest.approx(_bleu(source, asked), abs=1e-3)
    assert figures["chrf"] > figures["copy_chrf"] > 0
    assert found.metrics(np.array([2]))["chrf"] == pytest.approx(100)
    assert found.metrics(np.array([], int)) == {}


TEXT = {"tokenizer": "subword", "vocabulary": {"max_size": 30}, "length": 10, "embedding": 16}
DOCUMENT = {
    "name": "pieces",
    "key": "id",
    "features": {"x": {"type": "text", **TEXT}},
    "label": {"column": "y", "type": "sequence", **TEXT},
    "model": {"type": "seq2seq", "units": 32, "attention": "luong", "bidirectional": True},
    "training": {"batch_size": 32, "epochs": 14, "learning_rate": 0.01},
}
STEMS, ENDINGS = ("talk", "walk", "jump", "play"), ("ed", "ing", "er", "s")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words to be said in reverse order, written in pieces."""
    pytest.importorskip("tensorflow_text")
    root = tmp_path_factory.mktemp("pieces")
    rng = np.random.default_rng(5)
    with (root / "rows.csv").open("w") as file:
        file.write("id,x,y\n")
        for row in range(700):
            words = [rng.choice(STEMS) + rng.choice(ENDINGS) for _ in range(rng.integers(1, 5))]
            file.write(f"{row},{' '.join(words)},{' '.join(words[::-1])}\n")
    preprocess(parse(DOCUMENT), [str(root / "rows.csv")], root / "records")
    return root / "records"


@pytest.mark.slow
def test_pieces_are_learned_written_and_measured(records: Path, tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    train(records, tmp_path / "run")
    result = evaluate(tmp_path / "run", records, "test")
    metrics = result["metrics"]
    assert metrics["chrf"] > metrics["copy_chrf"]
    assert metrics["bleu"] > metrics["copy_bleu"]
    assert "copy_chrf" in as_table(result)
    report = export(tmp_path / "run", tmp_path / "served")
    assert report is not None and report.passed
    (answer,) = ServedModel.open(tmp_path / "served").predict([{"x": "walked jumping"}])["texts"]
    assert answer.decode().split()[0] in {stem + ending for stem in STEMS for ending in ENDINGS}


@pytest.mark.slow
def test_an_exported_transformer_generates_as_the_trained_one(
    records: Path, tmp_path: Path
) -> None:
    declared = {
        "type": "seq2seq", "cell": "transformer", "units": 32, "length_penalty": 0.6,
        "sampled_softmax": 20,
    }  # fmt: skip
    train(records, tmp_path / "run", spec=parse({**DOCUMENT, "model": declared}), epochs=1)
    report = export(tmp_path / "run", tmp_path / "served")
    assert report is not None and report.passed and not report.prediction_difference
    rows = canonical_rows([{"x": "walked"}, {"x": ""}], parse(DOCUMENT))
    answers = ServedModel.open(tmp_path / "served").call("generate", rows)
    assert answers["beam_texts"].shape == (2, 4)
    assert np.isfinite(answers["beam_scores"]).all()
