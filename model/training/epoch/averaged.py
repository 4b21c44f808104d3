"""The moving average of weights: what is evaluated and kept, while training goes on without it.

Keras's optimizers keep the average. Its own callback exchanges the two by sums and differences, which
rounds both; here weights are put aside and given back bit for bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

__all__ = ["averaged", "averaging"]


def averaging(model: keras.Model) -> list[keras.callbacks.Callback]:
    """Returns the callback by which eval, and nothing else, sees averages, where there are any."""
    return [_Averaging()] if model.optimizer.use_ema else []


@contextlib.contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Gives the model its averages for a while, where the optimizer keeps them."""
    if not model.optimizer.use_ema:
        yield
        return
    trained = _trained(model)
    # What Keras's own callback reads; it has no public name.
    averages = model.optimizer._model_variables_moving_average
    for weight, average in zip(model.trainable_weights, averages, strict=True):
        weight.assign(average)
    try:
        yield
    finally:
        _give_back(model, trained)


class _Averaging(keras.callbacks.Callback):
    def on_test_begin(self, logs: Any = None) -> None:
        """Gives eval the averages."""
        self._for_eval = averaged(self.model)
        self._for_eval.__enter__()

    def on_test_end(self, logs: Any = None) -> None:
        """Takes them away."""
        self._for_eval.__exit__(None, None, None)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Notes the weights: Keras makes averages of them at the end of each `fit`."""
        self._at_end = _trained(self.model)

    def on_train_end(self, logs: Any = None) -> None:
        """Gives them back: an epoch of ours is a `fit`, and the next one goes on with them."""
        _give_back(self.model, self._at_end)


def _trained(model: keras.Model) -> list[Any]:
    return [keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]


def _give_back(model: keras.Model, trained: list[Any]) -> None:
    for weight, value in zip(model.trainable_weights, trained, strict=True):
        weight.assign(value)
