"""What loading the jobs must not change for the process that uses them from Python."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["keras_as_it_was"]

_VARIABLE = "TF_USE_LEGACY_KERAS"


@contextlib.contextmanager
def keras_as_it_was() -> Iterator[None]:
    """Loads modules inside without making `tf.keras` Keras 2 for the whole process.

    tf.Transform sets `TF_USE_LEGACY_KERAS` when it is imported, and TensorFlow looks at it when
    `tf.keras` is first used, which may be in code that has nothing to do with us.
    """
    before = os.environ.get(_VARIABLE)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before
