"""Layers of several members that share most weights (Wen et al. 2020; TabM, Gorishniy et al. 2025)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["BatchEnsembleDense", "EnsembleDense", "MeanOfMembers"]


class _RandomSigns(keras.initializers.Initializer):
    """-1 or 1, each as likely."""

    def __init__(self, seed: int | None = None) -> None:
        self._uniform = keras.initializers.RandomUniform(-1.0, 1.0, seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns the signs."""
        drawn = self._uniform(shape, dtype="float32")
        return ops.cast(ops.where(drawn < 0, -1.0, 1.0), dtype or "float32")


class _OfMembers(keras.layers.Layer):
    """[batch, width] or [batch, members, width] -> [batch, members, units]."""

    def __init__(self, units: int, members: int, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, value in (("units", units), ("members", members)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        self.units, self.members, self.seed = units, members, seed

    def _initializer(self, kind: type[keras.initializers.Initializer], place: int) -> Any:
        return kind(seed=None if self.seed is None else self.seed + place)

    def compute_output_spec(self, vectors: Any) -> keras.KerasTensor:
        """Returns the shape and dtype of the members' vectors."""
        shape = (vectors.shape[0], self.members, self.units)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        own = {"units": self.units, "members": self.members, "seed": self.seed}
        return {**super().get_config(), **own}


def _each(vectors: Any) -> Any:
    """Returns [batch, 1, width] of [batch, width]: the same for each member."""
    return vectors if len(vectors.shape) == 3 else ops.expand_dims(vectors, 1)


@keras.saving.register_keras_serializable(package="skewless")
class BatchEnsembleDense(_OfMembers):
    """A dense layer of one kernel, with scales of inputs and outputs and a bias for each member.

    A member's output is ((x * input_scale) kernel) * output_scale + bias. Scales are 1 at first, but
    with `signs`, where those of the inputs are random signs: in the first such layer they are what
    makes members differ.

    Args:
      units: Width of the output.
      members: How many.
      signs: Whether scales of inputs begin as random signs.
      seed: Of the kernel, and of the signs.

    Raises:
      ValueError: If a size is below 1.
    """

    def __init__(
        self,
        units: int,
        members: int,
        *,
        signs: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, members, seed=seed, **kwargs)
        self.signs = signs

    def build(self, shape: Any) -> None:
        """Creates kernel [width, units], scales and bias of each member."""
        width = shape[-1]
        self.kernel = self.add_weight(
            shape=(width, self.units),
            initializer=self._initializer(keras.initializers.GlorotUniform, 0),
            name="kernel",
        )
        self.input_scale = self.add_weight(
            shape=(self.members, width),
            initializer=self._initializer(_RandomSigns, 1) if self.signs else "ones",
            name="input_scale",
        )
        self.output_scale = self.add_weight(
            shape=(self.members, self.units), initializer="ones", name="output_scale"
        )
        self.bias = self.add_weight(
            shape=(self.members, self.units), initializer="zeros", name="bias"
        )
        self.built = True

    def call(self, vectors: Any) -> Any:
        """Returns each member's vector."""
        scaled = ops.matmul(_each(vectors) * self.input_scale, self.kernel)
        return scaled * self.output_scale + self.bias

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "signs": self.signs}


@keras.saving.register_keras_serializable(package="skewless")
class EnsembleDense(_OfMembers):
    """A dense layer of each member's own: nothing is shared.

    Args:
      units: Width of the output.
      members: How many.
      seed: Of the kernels.

    Raises:
      ValueError: If a size is below 1.
    """

    def build(self, shape: Any) -> None:
        """Creates kernel [members, width, units] and bias [members, units]."""
        # Of [width, units] for each member: three axes would be taken for a convolution's.
        self.kernel = self.add_weight(
            shape=(self.members, shape[-1], self.units), initializer=self._kernels, name="kernel"
        )
        self.bias = self.add_weight(
            shape=(self.members, self.units), initializer="zeros", name="bias"
        )
        self.built = True

    def _kernels(self, shape: Any, dtype: Any = None) -> Any:
        drawn = [
            self._initializer(keras.initializers.GlorotUniform, member)(shape[1:], dtype)
            for member in range(self.members)
        ]
        return ops.stack(drawn)

    def call(self, vectors: Any) -> Any:
        """Returns each member's vector."""
        return ops.einsum("bmw,mwu->bmu", _each(vectors), self.kernel) + self.bias


@keras.saving.register_keras_serializable(package="skewless")
class MeanOfMembers(keras.layers.Layer):
    """[batch, members, units] -> [batch, units]: the mean of what members predict."""

    def call(self, members: Any) -> Any:
        """Returns the mean."""
        return ops.mean(members, axis=1)
