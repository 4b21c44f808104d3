"""What is generated, against every sequence that there is; attention, against loops; loss, against Keras's."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from skewless.model.network.seq2seq import (
    DECODER_INPUT,
    Generator,
    build_seq2seq,
    decoder_input,
    seq2seq_loss,
    tokens_of,
    trimmed,
)
from skewless.model.network.seq2seq.sampled import drawn, log_expected, sampled_losses
from skewless.model.network.seq2seq.sinusoids import Sinusoids
from skewless.schemas import Spec, SpecError, parse
from skewless.schemas.records.id_contract import end_id, start_id
from skewless.schemas.records.manifest import FeatureEntry

LENGTH, OOV, VOCABULARY = 3, 2, 3
FIRST = 2 + OOV
CARDINALITY = FIRST + VOCABULARY + 2
END = end_id(CARDINALITY)
SOURCES = tf.constant([[2, 3, 4], [4, 2, 0]], tf.int64)
TARGET = FeatureEntry(
    dtype="int64", shape=(LENGTH,), cardinality=CARDINALITY, vocabulary_size=VOCABULARY
)
ENTRIES = {
    "s": FeatureEntry(dtype="int64", shape=(3,), cardinality=5, vocabulary_size=2),
    "__label__": TARGET,
}
MODELS: dict[str, dict[str, Any]] = {
    "gru": {"cell": "gru", "units": 5},
    "lstm": {"cell": "lstm", "units": 5},
    "deep": {"cell": "lstm", "units": 5, "layers": 2, "bidirectional": True},
    "luong": {"cell": "gru", "units": 5, "bidirectional": True, "attention": "luong"},
    "bahdanau": {"cell": "lstm", "units": 4, "layers": 2, "attention": "bahdanau"},
    "transformer": {"cell": "transformer", "units": 6, "layers": 2, "heads": 2},
}


def _spec(**model: Any) -> Spec:
    return parse(
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
            "model": {"type": "seq2seq", **model},
        }
    )


def _model(spec: Spec) -> keras.Model:
    """An untrained model that would rather say anything than a token of the vocabulary."""
    model = build_seq2seq(spec, ENTRIES)
    rng = np.random.default_rng(1)
    for weight in model.weights:
        # Kernels are large enough to choose, normalisations stay near what they are.
        drawn = rng.normal(size=weight.shape)
        weight.assign(weight + 0.3 * drawn if "norm" in weight.path else 1.5 * drawn)
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


def _scores(
    model: keras.Model, source: tf.Tensor, sequences: list[list[int]], penalty: float = 0.0
) -> np.ndarray:
    """Returns [sequences] scores by teacher forcing, as training computes probabilities."""
    labels = tf.constant(sequences, tf.int64)
    probabilities = model(
        {
            "s": tf.repeat(source[None], len(sequences), axis=0),
            DECODER_INPUT: decoder_input(labels, CARDINALITY),
        }
    ).numpy()
    chosen = np.take_along_axis(probabilities, labels.numpy()[..., None], axis=2)[..., 0]
    asked = labels.numpy() > 0
    sums = np.where(asked, np.log(chosen), 0.0).sum(axis=1)
    return sums / ((5 + asked.sum(axis=1)) / 6) ** penalty


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("penalty", [0.0, 2.0])
def test_beams_are_the_best_sequences_in_the_order_of_their_scores(
    name: str, penalty: float
) -> None:
    spec = _spec(**MODELS[name], beam_width=99, length_penalty=penalty)
    model = _model(spec)
    beams, scores = (value.numpy() for value in Generator(model, spec, TARGET).beam(SOURCES))
    assert beams.shape == (2, VOCABULARY + 1, LENGTH)
    everything = _every_sequence()
    for row, source in enumerate(SOURCES):
        found = beams[row].tolist()
        assert all(sequence in everything for sequence in found)
        assert len({tuple(sequence) for sequence in found}) == len(found)
        np.testing.assert_allclose(scores[row], _scores(model, source, found, penalty), atol=1e-4)
        assert (np.diff(scores[row]) <= 0).all()
        best = _scores(model, source, everything, penalty).max()
        assert scores[row][0] == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_what_stands_for_no_token_is_never_generated(name: str) -> None:
    spec = _spec(**MODELS[name], beam_width=1)
    generator = Generator(_model(spec), spec, TARGET)
    greedy = generator.greedy(SOURCES).numpy()
    beams, _ = generator.beam(SOURCES)
    assert all(sequence in _every_sequence() for sequence in greedy.tolist())
    assert beams.numpy()[:, 0].tolist() == greedy.tolist()


@pytest.mark.parametrize("name", MODELS)
def test_nothing_but_its_own_row_changes_what_a_row_is_told(name: str) -> None:
    """Padding at either end, however much of it, other rows, rows without a step."""
    spec = _spec(**MODELS[name], beam_width=2)
    generator = Generator(_model(spec), spec, TARGET)
    sources = tf.constant([[2, 3, 0, 0, 0], [0, 0, 0, 2, 3], [0] * 5, [4, 2, 2, 3, 4]], tf.int64)
    beams, scores = generator.beam(sources)
    alone = [generator.beam(ids[None]) for ids in sources]
    np.testing.assert_array_equal(beams, tf.concat([one for one, _ in alone], axis=0))
    np.testing.assert_allclose(scores, tf.concat([one for _, one in alone], axis=0), atol=1e-5)
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)
    assert np.isfinite(scores).all()
    assert generator.greedy(tf.zeros([0, 4], tf.int64)).shape == (0, LENGTH)


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_generates_as_before(name: str, tmp_path: Any) -> None:
    spec = _spec(**MODELS[name])
    model = _model(spec)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    both = [Generator(each, spec, TARGET).beam(SOURCES)[1] for each in (model, loaded)]
    np.testing.assert_array_equal(*both)


def test_a_decoder_sees_no_token_that_comes_later() -> None:
    for name, declared in MODELS.items():
        model = _model(_spec(**declared))
        inputs = tf.constant([[8, 4, 5], [8, 4, 6]], tf.int64)
        same = tf.repeat(SOURCES[:1], 2, axis=0)
        first, second = model({"s": same, DECODER_INPUT: inputs}).numpy()
        np.testing.assert_allclose(first[:2], second[:2], atol=1e-6, err_msg=name)
        assert np.abs(first[2] - second[2]).max() > 1e-3, name


@pytest.mark.parametrize("kind", ["luong", "bahdanau"])
def test_attention_is_that_of_its_paper(kind: str) -> None:
    """Step by step in NumPy: Luong et al. 2015, eqs. 5, 7 and 8; Bahdanau et al. 2015, A.1.2."""
    model = _model(_spec(cell="gru", units=4, attention=kind))
    layers = {layer.name: layer for layer in model.layers}
    features = {"s": SOURCES, DECODER_INPUT: tf.constant([[8, 4, 5], [8, 6, 0]], tf.int64)}
    parts = keras.Model(
        model.input,
        [
            layers["the.encoder"].output[0],
            layers["the.decoder"].output[0],
            layers["the.mix"].output,
        ],
    )
    steps, states, mixed = (part.numpy() for part in parts(features))
    keys = layers["the.keys"].kernel.numpy()
    mix = layers["the.mix"].kernel.numpy()
    for row, place in itertools.product(range(2), range(3)):
        state, scores = states[row, place], []
        for step, ids in zip(steps[row], SOURCES[row].numpy(), strict=True):
            if kind == "luong":
                score = state @ (step @ keys)
            else:
                scale = layers["the.attention"].get_weights()[0]
                score = scale @ np.tanh(state @ layers["the.queries"].kernel.numpy() + step @ keys)
            scores.append(score if ids else -np.inf)
        weights = np.exp(np.array(scores) - max(scores))
        seen = weights @ steps[row] / weights.sum()
        expected = np.tanh(np.concatenate([seen, state]) @ mix)
        np.testing.assert_allclose(mixed[row, place], expected, atol=1e-5)


def test_positions_are_the_papers() -> None:
    width, count = 6, 5
    found = Sinusoids()(tf.zeros([1, count, width]), first=2).numpy()[0]
    for place, pair in itertools.product(range(count), range(width // 2)):
        angle = (place + 2) / 10_000 ** (2 * pair / width)
        assert found[place, pair] == pytest.approx(np.sin(angle), abs=1e-6)
        assert found[place, pair + width // 2] == pytest.approx(np.cos(angle), abs=1e-6)
    present = tf.constant([[False, True, True]])
    shifted = Sinusoids()(tf.zeros([1, 3, width]), present).numpy()[0]
    np.testing.assert_allclose(shifted[1:], Sinusoids()(tf.zeros([1, 2, width])).numpy()[0])


def test_loss_and_accuracy_are_kerass_over_tokens_that_are_asked_for() -> None:
    spec = _spec(cell="gru", units=4)
    model = _model(spec)
    model.compile(optimizer="sgd", **seq2seq_loss(spec))
    labels = tf.constant([[4, END, 0], [5, 2, END], [END, 0, 0]], tf.int64)
    features = {
        "s": tf.constant([[2, 3, 4], [4, 2, 0], [0, 0, 0]], tf.int64),
        DECODER_INPUT: decoder_input(labels, CARDINALITY),
    }
    weights = tf.cast(labels > 0, tf.float32) * [[1.0], [3.0], [0.5]]
    probabilities = model(features).numpy()
    asked = labels.numpy() > 0
    each = keras.losses.sparse_categorical_crossentropy(labels, probabilities).numpy()
    loss, accuracy = model.test_on_batch(features, labels, sample_weight=weights)
    assert loss == pytest.approx((each * weights.numpy())[asked].mean(), rel=1e-4)
    right = (probabilities.argmax(axis=2) == labels.numpy()) * weights.numpy()
    assert accuracy == pytest.approx(right.sum() / weights.numpy().sum(), rel=1e-5)
    tokens = tokens_of(model, features, labels, weights)
    np.testing.assert_array_equal(tokens.truth, labels.numpy()[asked])
    np.testing.assert_allclose(
        tf.nn.softmax(tokens.logits()), probabilities[asked], rtol=1e-4, atol=1e-6
    )


def test_sampled_losses_are_those_over_all_tokens_in_the_mean() -> None:
    """And the drawn are as frequent as is said of them."""
    rng = np.random.default_rng(2)
    size, count = 43, 400
    output = keras.layers.Dense(size)
    states = tf.constant(rng.normal(size=(6, 5)), tf.float32)
    output(states)
    output.set_weights([rng.normal(size=(5, size)), rng.normal(size=size)])
    # No target is one of these, so that their share of the softmax is what a sample leaves out.
    bias = output.bias.numpy()
    bias[[0, 1, start_id(size)]] = -30
    output.bias.assign(bias)
    truth = tf.constant([2, 3, 7, 20, 40, end_id(size)], tf.int64)
    exact = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, output(states)).numpy()
    seeds = [tf.constant([step, count], tf.int64) for step in range(60)]
    each = [sampled_losses(states, truth, output, count, seed).numpy() for seed in seeds]
    np.testing.assert_allclose(np.mean(each, axis=0), exact, atol=0.05)
    np.testing.assert_array_equal(each[0], sampled_losses(states, truth, output, count, seeds[0]))
    assert (each[0] != each[1]).any()
    ids = np.concatenate([drawn(count, size, seed) for seed in seeds])
    found = np.bincount(ids, minlength=size) / len(seeds)
    asked = [*range(2, size - 2), size - 1]
    assert not np.delete(found, asked).any()
    expected = np.exp(log_expected(tf.constant(asked, tf.int64), count, size))
    assert expected.sum() == pytest.approx(count, rel=1e-5)
    np.testing.assert_allclose(found[asked], expected, atol=4 * np.sqrt(expected.max() / 60))


def test_a_sampled_softmax_trains_and_is_measured_over_all() -> None:
    spec = _spec(cell="gru", units=8, sampled_softmax=20)
    model = build_seq2seq(spec, ENTRIES)
    model.compile(optimizer=keras.optimizers.Adam(0.05), **seq2seq_loss(spec))
    labels = tf.constant([[4, 5, END], [6, END, 0]], tf.int64)
    features = {"s": SOURCES, DECODER_INPUT: decoder_input(labels, CARDINALITY)}
    weights = tf.cast(labels > 0, tf.float32)
    for _ in range(40):
        model.train_on_batch(features, labels, sample_weight=weights)
    loss, accuracy = model.test_on_batch(features, labels, sample_weight=weights)
    assert accuracy == 1
    assert loss < 0.5


def test_a_batch_is_cut_to_its_longest_row() -> None:
    features = {
        "s": tf.constant([[0, 0, 2, 3, 0], [0, 4, 0, 0, 0]], tf.int64),
        DECODER_INPUT: tf.constant([[9, 4, 0, 0], [9, 0, 0, 0]], tf.int64),
    }
    cut, labels = trimmed(features, tf.constant([[4, 7, 0, 0], [7, 0, 0, 0]], tf.int64))
    assert cut["s"].numpy().tolist() == [[0, 2, 3], [4, 0, 0]]
    assert cut[DECODER_INPUT].numpy().tolist() == [[9, 4], [9, 0]]
    assert labels.numpy().tolist() == [[4, 7], [7, 0]]
    nothing = {"s": tf.zeros([2, 5], tf.int64)}
    assert trimmed(nothing, labels)[0]["s"].shape == (2, 1)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"cell": "transformer", "units": 6}, "model.heads: 4 do not divide units 6"),
        ({"cell": "transformer", "attention": "luong"}, "model.attention: a transformer looks"),
        ({"cell": "transformer", "bidirectional": True}, "model.bidirectional: a transformer"),
        ({"cell": "lstm", "heads": 2}, "model.heads: go with cell: transformer, not lstm"),
    ],
)
def test_what_does_not_go_together_is_refused(model: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        _spec(**model)
