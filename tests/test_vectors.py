"""Word vectors from files: what rows of embedding tables begin with, and what is refused."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from skewless.model.comparison.arms import with_values
from skewless.model.train import train
from skewless.model.training.compiled import compiled_model
from skewless.model.training.records import open_records
from skewless.model.training.vectors.files import read_vectors
from skewless.schemas.errors import DataError, SpecError
from skewless.schemas.spec.kinds.vectors import Vectors
from tests.conftest import DataSet

WORDS = {b"great": [1.0, 2.0], b"a b": [3.0, 4.0], "été".encode(): [-0.5, 1e-3]}
LINES = [word + b" " + " ".join(map(str, row)).encode() for word, row in WORDS.items()]


@pytest.mark.parametrize("kind", ["glove", "word2vec", "gzip", "npy"])
def test_every_kind_of_file_gives_the_same(kind: str, tmp_path: Path) -> None:
    path, words = tmp_path / "vectors.txt", None
    text = b"\n".join([*LINES, b"great 9 9", b"other 7 7"]) + b"\n"
    if kind == "glove":
        path.write_bytes(text)
    elif kind == "word2vec":
        path.write_bytes(b"5 2\n" + text.replace(b"\n", b" \n"))
    elif kind == "gzip":
        path = tmp_path / "vectors.txt.gz"
        path.write_bytes(gzip.compress(text))
    else:
        path, words = tmp_path / "vectors.npy", tmp_path / "words.txt"
        np.save(path, np.array([*WORDS.values(), [9, 9], [7, 7]]))
        words.write_bytes(b"\n".join([*WORDS, b"great", b"other"]) + b"\n")
    vectors = Vectors(file=str(path), words=None if words is None else str(words))
    found = read_vectors("vectors", vectors, [*WORDS, b"absent"], 2)
    assert set(found) == set(WORDS)
    for word, row in WORDS.items():
        np.testing.assert_array_equal(found[word], np.array(row, np.float32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"3 5\ngreat 1 2\n", r"v\.txt:1: expected a word and 2 numbers.*got 5; set embedding"),
        (b"great 1 2 3\n", r"v\.txt:1: expected a word and 2 numbers.*got 3; set embedding"),
        (b"x 1 2\ngreat 1\n", r"v\.txt:2: expected a word and 2 numbers.*got 1; set embedding"),
        (b"x 1 2\n\ngreat 1 two\n", r"v\.txt:3: expected numbers, got: .*two.*mend the line"),
        (b"great 1 nan\n", r"v\.txt:1: expected finite numbers"),
        (b"great 1 1e39\n", r"v\.txt:1: expected finite numbers"),
        (None, r"cannot read .*v\.txt.*check the path"),
    ],
)
def test_what_is_wrong_with_a_text_is_told_with_its_line(
    text: bytes | None, message: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "v.txt").write_bytes(text)
    with pytest.raises(DataError, match=f"^features.x.vectors: .*{message}"):
        read_vectors("features.x.vectors", Vectors(file=str(tmp_path / "v.txt")), [b"great"], 2)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3)), "expected a word and 2 numbers.*got 3; set embedding"),
        (np.zeros(4), r"expected numbers of shape \[words, 2\], got float64 of shape \[4\]"),
        (np.zeros((3, 2)), r"words\.txt: expected 3 lines, a word for each row of .*, got 2"),
        (np.full((2, 2), np.inf), r"v\.npy, row 1: expected finite numbers"),
        (np.array([[None]]), "expected an array of numbers"),
    ],
)
def test_what_is_wrong_with_an_array_is_told(
    array: np.ndarray, message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    (tmp_path / "words.txt").write_text("other\ngreat\n")
    vectors = Vectors(file=str(tmp_path / "v.npy"), words=str(tmp_path / "words.txt"))
    with pytest.raises(DataError, match=message):
        read_vectors("features.x.vectors", vectors, [b"great"], 2)


@pytest.mark.parametrize(
    ("feature", "values", "message"),
    [
        ("text", {"vectors": {"file": "v.npy"}}, "a .npy file has no words; give 'words'"),
        ("text", {"vectors": {"file": "v.txt", "words": "w"}}, "'words' goes with a .npy file"),
        (
            "user",
            {"vectors": {"file": "v.txt"}, "embedding": "one_hot"},
            "'vectors' needs an embedding with a width",
        ),
    ],
)
def test_what_has_no_table_of_words_is_refused(
    feature: str, values: dict[str, Any], message: str, shop: DataSet
) -> None:
    changed = {f"features.{feature}.{key}": value for key, value in values.items()}
    with pytest.raises(SpecError, match=message):
        with_values(shop.spec, changed)


def test_words_that_are_found_begin_with_their_vectors_and_others_as_without(
    shop: DataSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records = open_records(shop.directory)
    vocabulary = (shop.directory / "transform/transform_fn/assets/text").read_text().splitlines()
    row = {"great": np.arange(8.0), "été": -np.arange(8.0)}
    file = tmp_path / "vectors.txt"
    lines = [f"{word} {' '.join(map(str, numbers))}" for word, numbers in row.items()]
    file.write_text("\n".join([*lines, "unheard-of 1 2 3 4 5 6 7 8"]), encoding="utf-8")
    declared = {"features.text.vectors": {"file": str(file), "trainable": False}}
    spec = with_values(shop.spec, declared)
    with caplog.at_level(logging.INFO, "skewless"):
        table = np.array(compiled_model(spec, records).get_layer("embed.text").embeddings)
    assert f"2 of {len(vocabulary)} words of the vocabulary are in {file}" in caplog.text
    plain = np.array(compiled_model(shop.spec, records).get_layer("embed.text").embeddings)
    for word, numbers in row.items():
        place = 3 + vocabulary.index(word)  # After padding, missing, and one unknown.
        np.testing.assert_array_equal(table[place], numbers)
        plain[place] = numbers
    np.testing.assert_array_equal(table, plain)
    # Frozen, they stay through training; the records are the same.
    train(shop.directory, tmp_path / "run", spec=spec, epochs=1)
    kept = keras.saving.load_model(tmp_path / "run" / "model.keras")
    np.testing.assert_array_equal(kept.get_layer("embed.text").embeddings, table)
    assert any("embed.user" in weight.path for weight in kept.trainable_weights)
