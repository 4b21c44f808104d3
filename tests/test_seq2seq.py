"""What is generated, against every sequence that there is."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from skewless.model.network.seq2seq import Generator, build_seq2seq, decoder_input
from skewless.schemas import parse
from skewless.schemas.records.id_contract import end_id, start_id
from skewless.schemas.records.manifest import FeatureEntry

LENGTH, OOV, VOCABULARY = 3, 2, 3
FIRST = 2 + OOV
CARDINALITY = FIRST + VOCABULARY + 2
END = end_id(CARDINALITY)
SOURCES = tf.constant([[2, 3, 4], [4, 2, 0]], tf.int64)


def _model(cell: str) -> keras.Model:
    """An untrained model that would rather say anything than a token of the vocabulary."""
    spec = parse(
        {
            "name": "t",
            "features": {"s": {"type": "text", "length": 3, "embedding": 4}},
            "label": {
                "column": "y",
                "type": "sequence",
                "length": LENGTH - 1,
                "embedding": 4,
                "oov_buckets": OOV,
            },
            "model": {"type": "seq2seq", "units": 5, "cell": cell},
        }
    )
    entries = {
        "s": FeatureEntry(dtype="int64", shape=(3,), cardinality=5, vocabulary_size=2),
        "__label__": FeatureEntry(
            dtype="int64", shape=(LENGTH,), cardinality=CARDINALITY, vocabulary_size=VOCABULARY
        ),
    }
    keras.utils.set_random_seed(3)
    model = build_seq2seq(spec, entries)
    for layer in model.layers:
        layer.set_weights(
            [3 * np.random.default_rng(1).normal(size=w.shape) for w in layer.get_weights()]
        )
    kernel, bias = model.layers[-1].get_weights()
    bias[[*range(FIRST), start_id(CARDINALITY)]] += 5
    model.layers[-1].set_weights([kernel, bias])
    return model


def _every_sequence() -> list[list[int]]:
    tokens = range(FIRST, FIRST + VOCABULARY)
    ended = [
        [*head, END, *[0] * (LENGTH - size - 1)]
        for size in range(LENGTH)
        for head in itertools.product(tokens, repeat=size)
    ]
    return ended + [list(whole) for whole in itertools.product(tokens, repeat=LENGTH)]


def _scores(model: keras.Model, source: tf.Tensor, sequences: list[list[int]]) -> np.ndarray:
    """Returns [sequences] log probabilities by teacher forcing, as training computes them."""
    labels = tf.constant(sequences, tf.int64)
    probabilities = model(
        {
            "s": tf.repeat(source[None], len(sequences), axis=0),
            "__decoder__": decoder_input(labels, CARDINALITY),
        }
    ).numpy()
    chosen = np.take_along_axis(probabilities, labels.numpy()[..., None], axis=2)[..., 0]
    return np.where(labels.numpy() > 0, np.log(chosen), 0.0).sum(axis=1)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_beams_are_the_likeliest_sequences_in_the_order_of_their_scores(cell: str) -> None:
    model = _model(cell)
    generator = Generator(model, LENGTH, CARDINALITY, OOV, beam_width=99)
    beams, scores = (value.numpy() for value in generator.beam(SOURCES))
    assert beams.shape == (2, VOCABULARY + 1, LENGTH)
    everything = _every_sequence()
    for row, source in enumerate(SOURCES):
        found = beams[row].tolist()
        assert all(sequence in everything for sequence in found)
        assert len({tuple(sequence) for sequence in found}) == len(found)
        np.testing.assert_allclose(scores[row], _scores(model, source, found), atol=1e-4)
        assert (np.diff(scores[row]) <= 0).all()
        assert scores[row][0] == pytest.approx(_scores(model, source, everything).max(), abs=1e-4)


def test_what_stands_for_no_token_is_never_generated() -> None:
    generator = Generator(_model("gru"), LENGTH, CARDINALITY, OOV, beam_width=1)
    greedy = generator.greedy(SOURCES).numpy()
    beams, _ = generator.beam(SOURCES)
    assert all(sequence in _every_sequence() for sequence in greedy.tolist())
    assert beams.numpy()[:, 0].tolist() == greedy.tolist()
