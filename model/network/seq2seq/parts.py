"""The layers of a translating network: made anew, or those of a trained model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import keras

from skewless.model.network.layer_names import layer_called, layer_name
from skewless.model.network.layers import PaddingMask
from skewless.schemas.spec.features import TextFeature
from skewless.schemas.spec.label import SequenceLabel
from skewless.schemas.spec.spec import Spec

__all__ = ["Memory", "Network", "Parts"]

Tensor = Any


class Memory(NamedTuple):
    """What an encoder makes of sources.

    Attributes:
      steps: [batch, source length, width], for attention; None where the decoder has none.
      mask: [batch, source length] bool, false where a step is padding; None likewise.
      state: What the decoder begins with, [batch, units] each.
    """

    steps: Tensor | None
    mask: Tensor | None
    state: list[Tensor]


class Network(Protocol):
    """An encoder and a decoder, without the output layer."""

    def encoded(self, source_ids: Tensor, training: bool | None = None) -> Memory:
        """Reads [batch, source length] int64 IDs."""

    def taught(self, target_ids: Tensor, memory: Memory) -> Tensor:
        """Returns [batch, length, units] of the whole decoder input, [batch, length] int64."""

    def begun(self, memory: Memory, length: int) -> list[Tensor]:
        """Returns the state, [batch, ...] each, from which `length` steps may be made."""

    def step(
        self, tokens: Tensor, place: Tensor, state: list[Tensor], memory: Memory
    ) -> tuple[Tensor, list[Tensor]]:
        """Returns [batch, units] after [batch] int64 tokens at a place, and the new state.

        What `taught` gives for the same tokens, without dropout.
        """


class Parts:
    """Where a network gets its layers from."""

    def __init__(
        self,
        source: int | None,
        target: int | None,
        trained: Mapping[str, keras.layers.Layer] | None = None,
    ) -> None:
        """Takes where layers come from.

        Args:
          source, target: Cardinalities.
          trained: Layers by name; None where they are to be made.
        """
        self._source, self._target = source, target
        self._trained = trained

    def layer(self, make: Callable[..., Any], *arguments: Any, name: str, **options: Any) -> Any:
        """Returns the layer of a name: made of its class and arguments, or as it was trained."""
        if self._trained is not None:
            return layer_called(name, self._trained)
        return make(*arguments, name=name, **options)

    def of_source(self, spec: Spec) -> tuple[Any, Any]:
        """Returns the table of the source's vectors, and what masks its padding."""
        ((name, feature),) = spec.features.items()
        assert isinstance(feature, TextFeature)
        vectors = feature.own_vectors
        embed = self.layer(
            keras.layers.Embedding,
            self._source,
            feature.embedding,
            name=layer_name("embed", name),
            trainable=vectors is None or vectors.trainable,
        )
        return embed, self.layer(PaddingMask, name=layer_name("mask", name))

    def of_target(self, spec: Spec) -> Any:
        """Returns the table of the target's vectors."""
        assert isinstance(spec.label, SequenceLabel)
        return self.layer(
            keras.layers.Embedding,
            self._target,
            spec.label.embedding,
            name=layer_name("embed_target"),
        )
