"""Functions that are traced once, however many signatures call them.

A SavedModel then holds each of them once too, so that it is made, and loaded, in less time: with many
features a trace takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

__all__ = ["traced_once"]


def traced_once(function: Callable[..., Any], signature: Sequence[Any]) -> Callable[..., Any]:
    """Returns a function that is traced at its first call, and is one operation of whoever calls it.

    Args:
      function: Of tensors, or structures of them.
      signature: A `tf.TensorSpec`, or a structure of them, for each argument.
    """
    traced: list[Any] = []

    def call(*arguments: Any) -> Any:
        if not traced:
            with tf.init_scope():
                traced.append(
                    tf.function(
                        function, input_signature=signature, autograph=False
                    ).get_concrete_function()
                )
        return traced[0](*arguments)

    return call
