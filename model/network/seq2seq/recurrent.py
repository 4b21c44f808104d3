"""GRU or LSTM layers: the decoder's begin from the encoder's last states (Sutskever et al. 2014).

With attention the decoder's state looks at all steps of the source: `luong` by the general score of
Luong et al. 2015 (their eq. 8), `bahdanau` by the additive score of Bahdanau et al. 2015. Both look from
the decoder's current state and mix what is seen with it as Luong et al. do (eq. 5), which lets training
compute all steps at once.
"""

from __future__ import annotations

from typing import Any

import keras

from skewless.model.network.layer_names import layer_name
from skewless.model.network.seq2seq.parts import Memory, Parts
from skewless.schemas.spec.network import Seq2SeqSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["RecurrentNetwork"]

Tensor = Any
layers = keras.layers
_CELLS = {"gru": layers.GRU, "lstm": layers.LSTM}


class RecurrentNetwork:
    """As `skewless.model.network.seq2seq.parts.Network`."""

    def __init__(self, spec: Spec, declared: Seq2SeqSpec, parts: Parts) -> None:
        """Makes or finds the layers."""
        self._declared = declared
        self._embed, self._mask = parts.of_source(spec)
        numbers = range(declared.layers)
        self._encoders = [self._encoder(parts, number) for number in numbers]
        self._bridges = self._made_bridges(parts)
        self._embed_target = parts.of_target(spec)
        self._decoders = [
            parts.layer(
                _CELLS[declared.cell],
                declared.units,
                name=_numbered("decoder", number),
                return_sequences=True,
                return_state=True,
                dropout=declared.dropout,
            )
            for number in numbers
        ]
        self._attention = None if declared.attention is None else _Attention(declared, parts)

    def _encoder(self, parts: Parts, number: int) -> Any:
        declared = self._declared
        last = number == declared.layers - 1

        def made(name: str) -> Any:
            cell = _CELLS[declared.cell](
                declared.units,
                return_sequences=not last or declared.attention is not None,
                return_state=True,
                dropout=declared.dropout,
                name=f"{name}_cell" if declared.bidirectional else name,
            )
            return layers.Bidirectional(cell, name=name) if declared.bidirectional else cell

        return parts.layer(made, name=_numbered("encoder", number))

    def _made_bridges(self, parts: Parts) -> list[tuple[Any, Any]]:
        """Returns layers for each state: two directions' become one that the decoder can begin with."""
        declared = self._declared
        if not declared.bidirectional:
            return []
        states = declared.layers * (2 if declared.cell == "lstm" else 1)
        return [
            (
                parts.layer(layers.Concatenate, name=layer_name("both", number)),
                parts.layer(
                    layers.Dense,
                    declared.units,
                    name=layer_name("bridge", number),
                    activation="tanh",
                ),
            )
            for number in range(states)
        ]

    def encoded(self, source_ids: Tensor, training: bool | None = None) -> Memory:
        """Reads [batch, source length] int64 IDs."""
        steps, mask = self._embed(source_ids), self._mask(source_ids)
        state: list[Tensor] = []
        for encoder in self._encoders:
            steps, *own = encoder(steps, mask=mask, training=training)
            state += self._joined(own, len(state))
        attends = self._attention is not None
        return Memory(steps if attends else None, mask if attends else None, state)

    def _joined(self, own: list[Tensor], before: int) -> list[Tensor]:
        """Returns one layer's states, each from both directions where there are two."""
        if not self._declared.bidirectional:
            return own
        half = len(own) // 2
        bridges = self._bridges[before : before + half]
        return [
            bridge(both([forth, back]))
            for forth, back, (both, bridge) in zip(own[:half], own[half:], bridges, strict=True)
        ]

    def taught(self, target_ids: Tensor, memory: Memory) -> Tensor:
        """Returns [batch, length, units] of the whole decoder input."""
        steps = self._embed_target(target_ids)
        for number, decoder in enumerate(self._decoders):
            steps, *_ = decoder(steps, initial_state=self._own(memory.state, number))
        return steps if self._attention is None else self._attention(steps, memory)

    def begun(self, memory: Memory, length: int) -> list[Tensor]:
        """Returns the encoder's last states."""
        return memory.state

    def step(
        self, tokens: Tensor, place: Tensor, state: list[Tensor], memory: Memory
    ) -> tuple[Tensor, list[Tensor]]:
        """Returns [batch, units] after [batch] int64 tokens, and the new state."""
        after = self._embed_target(tokens)
        reached: list[Tensor] = []
        for number, decoder in enumerate(self._decoders):
            after, own = decoder.cell(after, self._own(state, number), training=False)
            reached += own if isinstance(own, list | tuple) else [own]
        if self._attention is not None:
            after = self._attention(after[:, None], memory)[:, 0]
        return after, reached

    def _own(self, state: list[Tensor], number: int) -> list[Tensor]:
        each = len(state) // len(self._decoders)
        return state[number * each : (number + 1) * each]


class _Attention:
    """From [batch, length, units] states of the decoder to as many that have seen the source."""

    def __init__(self, declared: Seq2SeqSpec, parts: Parts) -> None:
        units = declared.units
        self._keys = parts.layer(layers.Dense, units, name=layer_name("keys"), use_bias=False)
        self._queries: Any = None
        if declared.attention == "bahdanau":
            self._queries = parts.layer(
                layers.Dense, units, name=layer_name("queries"), use_bias=False
            )
        self._attend = parts.layer(
            layers.Attention if self._queries is None else layers.AdditiveAttention,
            name=layer_name("attention"),
        )
        self._beside = parts.layer(layers.Concatenate, name=layer_name("beside"))
        self._mix = parts.layer(
            layers.Dense, units, name=layer_name("mix"), activation="tanh", use_bias=False
        )

    def __call__(self, states: Tensor, memory: Memory) -> Tensor:
        query = states if self._queries is None else self._queries(states)
        seen = self._attend(
            [query, memory.steps, self._keys(memory.steps)], mask=[None, memory.mask]
        )
        return self._mix(self._beside([seen, states]))


def _numbered(kind: str, number: int) -> str:
    """Returns the name of a layer of layers; the first is called as the only one of before was."""
    return layer_name(kind, number) if number else layer_name(kind)
