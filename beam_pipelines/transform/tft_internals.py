"""What is used of tf.Transform beyond its public interface, as it was read in 1.21.

Read this before another version is pinned.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow_transform import impl_helper, tf_utils

__all__ = ["looked_up", "traced", "write_without_data"]


def looked_up(make_table: Callable[[tf.Tensor], Any], path: str, keys: tf.Tensor) -> tf.Tensor:
    """Looks [count] keys up in a table that `make_table` makes of an asset, the file at `path`.

    tf.Transform's own construction lifts the table out of the function; made in the graph it would
    be read from its file anew at every call.
    """
    with tf.init_scope():
        asset = tf.constant(path)
    values, _ = tf_utils.construct_and_lookup_table(make_table, asset, keys)
    return values


def traced(
    function: Callable[[Any], Mapping[str, tf.Tensor]], specs: Mapping[str, tf.SparseTensorSpec]
) -> None:
    """Traces a preprocessing function as tf.Transform does before it analyses anything."""
    with tempfile.TemporaryDirectory(prefix="skewless-preprocessing-") as directory:
        impl_helper.trace_preprocessing_function(function, specs, False, directory)


def write_without_data(
    function: Callable[[Any], Mapping[str, tf.Tensor]],
    features: Mapping[str, tf.io.VarLenFeature],
    directory: str,
) -> None:
    """Writes the graph of a preprocessing function without analysers, which needs no data.

    Args:
      function: Takes a SparseTensor for each of `features`.
      features: By column.
      directory: Left with `transform_fn/` and `transformed_metadata/`.
    """
    impl_helper.analyze_in_place(
        function,
        force_tf_compat_v1=False,
        feature_specs=features,
        type_specs={
            name: tf.SparseTensorSpec([None, None], feature.dtype)
            for name, feature in features.items()
        },
        transform_output_path=directory,
    )
