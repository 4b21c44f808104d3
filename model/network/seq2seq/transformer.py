"""Transformer blocks (Vaswani et al. 2017), normalised before each part (Xiong et al. 2020).

While it generates, a block keeps what its self-attention looks back at, so that a step computes itself
alone and no step before it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import ClearPadding
from skewless.model.network.seq2seq.parts import Memory, Parts
from skewless.model.network.seq2seq.sinusoids import Sinusoids
from skewless.schemas.spec.features import TextFeature
from skewless.schemas.spec.label import SequenceLabel
from skewless.schemas.spec.network import Seq2SeqSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["TransformerNetwork"]

Tensor = Any
layers = keras.layers
_WIDER = 4  # A block's dense layer than its steps, as in the paper.


class TransformerNetwork:
    """As `skewless.model.network.seq2seq.parts.Network`."""

    def __init__(self, spec: Spec, declared: Seq2SeqSpec, parts: Parts) -> None:
        """Makes or finds the layers."""
        self._embed, self._mask = parts.of_source(spec)
        self._visible = parts.layer(layers.Reshape, (1, -1), name=layer_name("visible"))
        ((_, feature),) = spec.features.items()
        assert isinstance(feature, TextFeature)
        assert isinstance(spec.label, SequenceLabel)
        self._placed = _Placed(declared, parts, "encoder", feature.embedding)
        numbers = range(declared.layers)
        self._encoders = [_Block(declared, parts, "encoder", number) for number in numbers]
        self._encoded = _normalization(parts, "encoder", "encoded")
        self._clear = parts.layer(ClearPadding, name=layer_name("clear"))
        self._embed_target = parts.of_target(spec)
        self._placed_target = _Placed(declared, parts, "decoder", spec.label.embedding)
        self._decoders = [_Block(declared, parts, "decoder", number) for number in numbers]
        self._decoded = _normalization(parts, "decoder", "decoded")

    def encoded(self, source_ids: Tensor, training: bool | None = None) -> Memory:
        """Reads [batch, source length] int64 IDs."""
        mask = self._mask(source_ids)
        visible = self._visible(mask)
        steps = self._placed(self._embed(source_ids), mask, training=training)
        for block in self._encoders:
            steps = block.attended(steps, attention_mask=visible, training=training)
            steps = block.fed(steps, training=training)
        # Where every step is padding all are seen: they must be alike, however many there are.
        return Memory(self._clear(self._encoded(steps), mask), visible, [])

    def taught(self, target_ids: Tensor, memory: Memory) -> Tensor:
        """Returns [batch, length, units] of the whole decoder input."""
        steps = self._placed_target(self._embed_target(target_ids))
        for block in self._decoders:
            # Padding comes last, where no step that counts looks.
            steps = block.attended(steps, use_causal_mask=True)
            steps = block.fed(block.looked(steps, memory))
        return self._decoded(steps)

    def begun(self, memory: Memory, length: int) -> list[Tensor]:
        """Returns nothing seen yet: [batch, length, units] zeros of each block."""
        assert memory.steps is not None
        batch, _, units = tf.unstack(tf.shape(memory.steps))
        return [tf.zeros([batch, length, units], memory.steps.dtype) for _ in self._decoders]

    def step(
        self, tokens: Tensor, place: Tensor, state: list[Tensor], memory: Memory
    ) -> tuple[Tensor, list[Tensor]]:
        """Returns [batch, units] after [batch] int64 tokens at a place, and the new state."""
        steps = self._placed_target(
            self._embed_target(tokens[:, None]), first=place, training=False
        )
        reached = []
        for block, seen in zip(self._decoders, state, strict=True):
            steps, seen = block.attended_once(steps, seen, place)
            steps = block.fed(block.looked(steps, memory, training=False), training=False)
            reached.append(seen)
        return self._decoded(steps)[:, 0], reached


class _Placed:
    """From vectors of tokens to steps of the network's width that know their place."""

    def __init__(self, declared: Seq2SeqSpec, parts: Parts, side: str, width: int) -> None:
        self._project: Any = None
        if width != declared.units:
            self._project = parts.layer(
                layers.Dense, declared.units, name=layer_name("project", side), use_bias=False
            )
        self._sinusoids = parts.layer(Sinusoids, name=layer_name("positions", side))
        self._dropout = parts.layer(
            layers.Dropout, declared.dropout, name=layer_name("dropout", side)
        )

    def __call__(
        self, steps: Tensor, present: Tensor = None, *, first: Any = 0, training: Any = None
    ) -> Tensor:
        if self._project is not None:
            steps = self._project(steps)
        steps = self._sinusoids(steps, present, first=first)
        return self._dropout(steps, training=training)


class _Block:
    """Attention to a text's own steps, in a decoder to the source's, and a dense part."""

    def __init__(self, declared: Seq2SeqSpec, parts: Parts, side: str, number: int) -> None:
        of = (side, number)
        self._own = _Attending(declared, parts, "own", of)
        self._source = _Attending(declared, parts, "source", of) if side == "decoder" else None
        self._norm = _normalization(parts, *of, "feed")
        self._feed = parts.layer(
            layers.Dense,
            _WIDER * declared.units,
            name=layer_name("feed", *of),
            activation="relu",
        )
        self._forward = parts.layer(layers.Dense, declared.units, name=layer_name("forward", *of))
        self._added = _Added(declared, parts, "fed", of)

    def attended(self, steps: Tensor, *, training: Any = None, **visible: Any) -> Tensor:
        """Adds what steps see of each other."""
        normed = self._own.norm(steps)
        return self._own.added(steps, normed, normed, training=training, **visible)

    def attended_once(self, steps: Tensor, seen: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Adds to [batch, 1, units] what it sees of itself and of those before; notes it as seen."""
        normed = self._own.norm(steps)
        places = tf.range(tf.shape(seen)[1])
        seen = tf.where(tf.equal(places, place)[None, :, None], normed, seen)
        visible = (places <= place)[None, None, :]
        return self._own.added(steps, normed, seen, training=False, attention_mask=visible), seen

    def looked(self, steps: Tensor, memory: Memory, *, training: Any = None) -> Tensor:
        """Adds what a decoder's steps see of the source."""
        assert self._source is not None
        return self._source.added(
            steps,
            self._source.norm(steps),
            memory.steps,
            training=training,
            attention_mask=memory.mask,
        )

    def fed(self, steps: Tensor, *, training: Any = None) -> Tensor:
        """Adds the dense part."""
        return self._added(steps, self._forward(self._feed(self._norm(steps))), training=training)


class _Attending:
    def __init__(
        self, declared: Seq2SeqSpec, parts: Parts, kind: str, of: Sequence[str | int]
    ) -> None:
        self.norm = _normalization(parts, *of, kind)
        self._attention = parts.layer(
            layers.MultiHeadAttention,
            declared.heads,
            declared.units // declared.heads,
            dropout=declared.dropout,
            name=layer_name(f"{kind}_attention", *of),
        )
        self._added = _Added(declared, parts, kind, of)

    def added(
        self, steps: Tensor, query: Tensor, seen: Tensor, *, training: Any, **visible: Any
    ) -> Tensor:
        """Adds to steps what a query makes of what is seen."""
        found = self._attention(query, seen, training=training, **visible)
        return self._added(steps, found, training=training)


class _Added:
    def __init__(
        self, declared: Seq2SeqSpec, parts: Parts, kind: str, of: Sequence[str | int]
    ) -> None:
        self._dropout = parts.layer(
            layers.Dropout, declared.dropout, name=layer_name(f"{kind}_dropout", *of)
        )
        self._add = parts.layer(layers.Add, name=layer_name(f"{kind}_added", *of))

    def __call__(self, steps: Tensor, more: Tensor, *, training: Any) -> Tensor:
        return self._add([steps, self._dropout(more, training=training)])


def _normalization(parts: Parts, *name: str | int) -> Any:
    return parts.layer(layers.LayerNormalization, name=layer_name("norm", *name), epsilon=1e-6)
