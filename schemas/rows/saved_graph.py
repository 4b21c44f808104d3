"""Saved graphs, whose ops may be tensorflow-text's."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from skewless.schemas.errors import UsageError

__all__ = ["load_graph"]


def load_graph(path: str | Path) -> tf.Module:
    """Loads a SavedModel; where its ops are not TensorFlow's own, with tensorflow-text's.

    Raises:
      UsageError: If it needs tensorflow-text, and that is not installed.
    """
    try:
        return tf.saved_model.load(str(path))
    except (RuntimeError, OSError, tf.errors.NotFoundError) as error:
        if "Op type not registered" not in str(error):
            raise
        # normalize and subword graphs hold tensorflow-text ops, registered by its import.
        try:
            import tensorflow_text  # noqa: F401
        except ImportError:
            raise UsageError(
                f"{path}: holds ops of tensorflow-text (normalize or subword in its spec); "
                "install it with: pip install 'skewless[text]'"
            ) from error
        return tf.saved_model.load(str(path))
