"""Keras preprocessing layers for `benchmarks.wide`: one a column, adapted, mapped in tf.data, written."""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
import pyarrow.parquet
import tensorflow as tf

__all__ = ["main"]

_BATCH_ROWS = 1_000


def main() -> None:
    """Reads a Parquet file of numbers and texts, and leaves one TFRecord file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    (asked.output / "train").mkdir(parents=True)
    table = pyarrow.parquet.read_table(asked.input)
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    layers: dict[str, keras.layers.Layer] = {}
    for name, values in columns.items():
        if name.startswith("n"):
            layers[name] = keras.layers.Normalization(axis=None)
            layers[name].adapt(values.astype(np.float32))
        elif name.startswith("c"):
            layers[name] = keras.layers.StringLookup()
            layers[name].adapt(values.astype(str))
    tensors = {
        name: tf.constant(values.astype(str) if values.dtype == object else values)
        for name, values in columns.items()
    }

    def transformed(rows: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: layers[name](rows[name]) if name in layers else rows[name] for name in rows}

    rows = tf.data.Dataset.from_tensor_slices(tensors).batch(_BATCH_ROWS).map(transformed)
    with tf.io.TFRecordWriter(str(asked.output / "train" / "part-0.tfrecord")) as writer:
        for batch in rows.as_numpy_iterator():
            for row in range(len(batch["key"])):
                example = tf.train.Example()
                for name, values in batch.items():
                    feature = example.features.feature[name]
                    if values.dtype == object:
                        feature.bytes_list.value.append(values[row])
                    elif values.dtype == np.float32:
                        feature.float_list.value.append(values[row])
                    else:
                        feature.int64_list.value.append(int(values[row]))
                writer.write(example.SerializeToString())


if __name__ == "__main__":
    main()
