"""What is used of tf.Transform beyond its public interface, as it was read in 1.21.

Read this before another version is pinned. It is imported where it is used: a spec without a function
of its own needs none of it, and it takes two seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from skewless.schemas.rows.saved_graph import looked_up_here

__all__ = ["looked_up", "traced"]


def looked_up(make_table: Callable[[], Any], keys: tf.Tensor) -> tf.Tensor:
    """Looks keys up in a table, made of files that become assets.

    tf.Transform's own construction lifts the table out of the function; made in the graph it would
    be read from its files anew at every call.
    """
    values = looked_up_here(make_table, keys)
    if values is not None:
        return values
    from tensorflow_transform import tf_utils

    with tf.init_scope():
        unread = tf.constant("")  # A path that is handed on as it is; our tables know theirs.
    values, _ = tf_utils.construct_and_lookup_table(lambda _: make_table(), unread, keys)
    return values


def traced(
    function: Callable[[Any], Mapping[str, tf.Tensor]], specs: Mapping[str, tf.SparseTensorSpec]
) -> None:
    """Traces a preprocessing function as tf.Transform does before it analyses anything."""
    from tensorflow_transform import impl_helper

    with tempfile.TemporaryDirectory(prefix="skewless-preprocessing-") as directory:
        impl_helper.trace_preprocessing_function(function, specs, False, directory)
