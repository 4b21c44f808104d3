"""Encoders: a sequence of vectors, or a vector of numbers, becomes one vector.

`_BUILDERS` maps each declared type to its builder. A builder takes `steps`, [batch, length,
width], and `mask`, [batch, length] bool, and returns [batch, n].
Padded steps never change a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from skewless.model.network.layer_names import layer_name
from skewless.model.network.layers import (
    AttentionPooling,
    ClearPadding,
    CutPadding,
    MaskedMax,
    MaskedMean,
    PositionEmbedding,
    WeightedSum,
)
from skewless.schemas.spec.encoders import (
    Attention,
    Cnn,
    Dense,
    Encoder,
    Flatten,
    Pooling,
    Recurrent,
    Transformer,
)

__all__ = ["encode_numbers", "encode_steps"]

Tensor = Any
layers = keras.layers


def encode_steps(encoder: Encoder, steps: Tensor, mask: Tensor, name: str) -> Tensor:
    """Applies a declared encoder to [batch, length, width] steps."""
    return _BUILDERS[type(encoder)](encoder, steps, mask, name)


def encode_numbers(encoder: Encoder | None, numbers: Tensor, name: str) -> Tensor:
    """Applies `dense` (or, for flatten and none, nothing) to [batch, width] numbers."""
    if isinstance(encoder, Dense):
        return layers.Dense(
            encoder.units, activation=encoder.activation, name=layer_name("dense", name)
        )(numbers)
    return numbers


def _flatten(encoder: Flatten, steps: Tensor, mask: Tensor, name: str) -> Tensor:
    return layers.Flatten(name=layer_name("flatten", name))(
        ClearPadding(name=layer_name("clear", name))(steps, mask)
    )


def _pooling(encoder: Pooling, steps: Tensor, mask: Tensor, name: str) -> Tensor:
    kinds = {"mean": MaskedMean, "max": MaskedMax, "sum": WeightedSum}
    pooled = [
        kinds[kind](name=layer_name(kind, name))(steps, mask) for kind in encoder.type.split("_")
    ]
    if len(pooled) == 1:
        return pooled[0]
    return layers.Concatenate(name=layer_name(encoder.type, name))(pooled)


def _recurrent(encoder: Recurrent, steps: Tensor, mask: Tensor, name: str) -> Tensor:
    kind = encoder.type.removeprefix("bidirectional_")
    cell = {"gru": layers.GRU, "lstm": layers.LSTM}[kind]
    units = encoder.units or steps.shape[-1]
    steps, mask = CutPadding(name=layer_name("cut", name))(steps, mask)
    for number in range(encoder.layers):
        last = number == encoder.layers - 1
        layer = cell(
            units,
            return_sequences=not last,
            dropout=encoder.dropout,
            name=layer_name(kind, name, number),
        )
        if encoder.type.startswith("bidirectional_"):
            layer = layers.Bidirectional(layer, name=layer_name("bidirectional", name, number))
        steps = layer(steps, mask=mask)
    return steps


def _cnn(encoder: Cnn, steps: Tensor, mask: Tensor, name: str) -> Tensor:
    steps, mask = CutPadding(name=layer_name("cut", name))(steps, mask)
    steps = ClearPadding(name=layer_name("clear", name))(steps, mask)
    pooled = []
    for size in encoder.kernel_sizes:
        windows = layers.Conv1D(
            encoder.filters,
            size,
            padding="same",
            activation="relu",
            name=layer_name(f"conv{size}", name),
        )(steps)
        # relu's least value is 0, so windows centred on padding cannot be the maximum.
        windows = ClearPadding(name=layer_name(f"clear{size}", name))(windows, mask)
        pooled.append(layers.GlobalMaxPooling1D(name=layer_name(f"max{size}", name))(windows))
    return (
        pooled[0] if len(pooled) == 1 else layers.Concatenate(name=layer_name("cnn", name))(pooled)
    )


def _attention(encoder: Attention, steps: Tensor, mask: Tensor, name: str) -> Tensor:
    units = encoder.units or steps.shape[-1]
    return AttentionPooling(units, name=layer_name("attention", name))(steps, mask)


def _transformer(encoder: Transformer, steps: Tensor, mask: Tensor, name: str) -> Tensor:
    width = steps.shape[-1]
    units = encoder.units or 4 * width
    length = steps.shape[1]
    steps, mask = CutPadding(name=layer_name("cut", name))(steps, mask)
    visible = layers.Reshape((1, -1), name=layer_name("visible", name))(mask)
    steps = PositionEmbedding(length, name=layer_name("positions", name))(steps, mask)
    for number in range(encoder.layers):
        attended = layers.MultiHeadAttention(
            encoder.heads,
            max(1, width // encoder.heads),
            dropout=encoder.dropout,
            name=layer_name("self_attention", name, number),
        )(steps, steps, attention_mask=visible)
        steps = layers.LayerNormalization(name=layer_name("norm_attention", name, number))(
            _added("attended", name, number, steps, attended)
        )
        hidden = layers.Dense(units, activation="gelu", name=layer_name("feed", name, number))(
            steps
        )
        hidden = layers.Dense(width, name=layer_name("forward", name, number))(hidden)
        hidden = layers.Dropout(encoder.dropout, name=layer_name("dropout", name, number))(hidden)
        steps = layers.LayerNormalization(name=layer_name("norm_feed", name, number))(
            _added("fed", name, number, steps, hidden)
        )
    return MaskedMean(name=layer_name("mean", name))(steps, mask)


def _added(kind: str, name: str, number: int, *steps: Tensor) -> Tensor:
    # `+` would be a layer that Keras calls `add`, as a feature may be called too.
    return layers.Add(name=layer_name(kind, name, number))(list(steps))


def _dense(encoder: Dense, steps: Tensor, mask: Tensor, name: str) -> Tensor:
    flat = layers.Flatten(name=layer_name("flatten", name))(
        ClearPadding(name=layer_name("clear", name))(steps, mask)
    )
    return layers.Dense(
        encoder.units, activation=encoder.activation, name=layer_name("dense", name)
    )(flat)


_BUILDERS: dict[type, Callable[..., Tensor]] = {
    Flatten: _flatten,
    Pooling: _pooling,
    Recurrent: _recurrent,
    Cnn: _cnn,
    Attention: _attention,
    Transformer: _transformer,
    Dense: _dense,
}
