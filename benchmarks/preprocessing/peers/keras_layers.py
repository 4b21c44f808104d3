"""Keras preprocessing layers, adapted and mapped in tf.data, written by the C++ encoder.

`adapt` would read the rows once a layer, so all layers' states are updated in one pass, which is
what `adapt` does inside. Vocabularies are then set from the layers' own counts: `adapt` knows no
minimal count.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import tensorflow as tf
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from benchmarks.preprocessing.peers import job

__all__ = ["preprocess"]

_BATCH_ROWS = 10_000
_STRINGS = ("review_id", *job.CATEGORICALS, *job.TEXTS)
_TYPES = {
    **dict.fromkeys(_STRINGS, pa.string()),
    "age": pa.float32(),
    "price": pa.float32(),
    "label": pa.int64(),
}
_SIGNATURE = {
    name: tf.TensorSpec([None], tf.string if name in _STRINGS else kind.to_pandas_dtype(), name)
    for name, kind in _TYPES.items()
}

Tensors = dict[str, tf.Tensor]


def preprocess(source: Path, output: Path, workers: int, ready: Any) -> dict[str, int]:
    """Does the job; returns its row counts."""
    layers = _Layers()
    rows = tf.data.Dataset.from_generator(
        lambda: _batches(source), output_signature=_SIGNATURE
    ).prefetch(2)
    ready()
    layers.adapt(rows.map(_training_rows, workers, deterministic=False).prefetch(2), output)
    transformed = rows.map(layers, workers, deterministic=False).prefetch(2)
    writers = []
    for split in job.SPLITS:
        (output / split).mkdir()
        writers.append(tf.io.TFRecordWriter(str(output / split / "part-0.tfrecord")))
    encoder = RecordBatchToExamplesEncoder()
    read, written = 0, 0
    for outputs in transformed.as_numpy_iterator():
        splits = outputs.pop("split")
        read += len(splits)
        records = encoder.encode(_record_batch(outputs))
        for place, record in zip(splits.tolist(), records, strict=True):
            writers[place].write(record)
        written += len(records)
    for writer in writers:
        writer.close()
    return {"rows_in": read, "rows_out": written}


class _Layers:
    """One layer a feature; called on raw columns it gives what a record holds, and the split."""

    def __init__(self) -> None:
        self.texts = {
            name: keras.layers.TextVectorization(
                standardize=_standardize, split="whitespace", output_sequence_length=length
            )
            for name, length in job.LENGTHS.items()
        }
        self.categories = {
            name: keras.layers.StringLookup(mask_token="") for name in job.CATEGORICALS
        }
        self.age = keras.layers.Normalization(axis=None)
        self.price = keras.layers.Discretization(num_bins=job.BUCKETS)

    def adapt(self, train: tf.data.Dataset, output: Path) -> None:
        """Learns the layers' constants from training rows in one pass."""
        vectorized = {**self.texts, **self.categories}

        @tf.function(reduce_retracing=True)
        def update(batch: Tensors) -> None:
            for name, layer in vectorized.items():
                layer.update_state(batch[name])

        ages, prices = [], []
        for batch in train:
            update(batch)
            ages.append(batch["age"].numpy())
            prices.append(batch["price"].numpy())
        age = np.concatenate(ages)
        self.age.adapt(age[~np.isnan(age)])
        self.price.adapt(np.concatenate(prices))
        (output / "vocabularies").mkdir()
        for name, layer in vectorized.items():
            lookup = layer._lookup_layer if name in self.texts else layer
            vocabulary = _vocabulary(name, *lookup.token_counts.export())
            (output / "vocabularies" / name).write_bytes(b"".join(t + b"\n" for t in vocabulary))
            layer.set_vocabulary([token.decode() for token in vocabulary])

    def __call__(self, rows: Tensors) -> Tensors:
        outputs = {name: _shifted(layer(rows[name])) for name, layer in self.texts.items()}
        # Keras has 0 for missing and 1 for unknown; a record has 1 and 2.
        outputs |= {name: 1 + layer(rows[name]) for name, layer in self.categories.items()}
        age = rows["age"]
        outputs["age"] = tf.where(tf.math.is_nan(age), 0.0, self.age(age))
        outputs["price"] = 2 + tf.cast(self.price(rows["price"]), tf.int64)
        outputs["__label__"] = tf.cast(rows["label"], tf.float32)
        outputs["__key__"] = rows["review_id"]
        outputs["split"] = _splits(rows["review_id"])
        return outputs


def _standardize(texts: tf.Tensor) -> tf.Tensor:
    lowered = tf.strings.lower(texts, encoding="utf-8")
    return tf.strings.regex_replace(lowered, job.between_words(), " ")


def _shifted(ids: tf.Tensor) -> tf.Tensor:
    """Keras has 0 for padding and 1 for unknown; a record has 0 and 2."""
    return ids + tf.cast(ids > 0, ids.dtype)


def _splits(keys: tf.Tensor) -> tf.Tensor:
    digests = tf.bitcast(tf.fingerprint(keys, "farmhash64"), tf.uint64)
    share = tf.cast(tf.bitwise.right_shift(digests, tf.constant(11, tf.uint64)), tf.float64)
    edges = tf.constant(np.cumsum([0.8, 0.1, 0.1])[:-1])
    return tf.searchsorted(edges, share / float(1 << 53), side="right")


def _training_rows(rows: Tensors) -> Tensors:
    train = tf.equal(_splits(rows["review_id"]), 0)
    return {name: tf.boolean_mask(values, train) for name, values in rows.items()}


def _vocabulary(name: str, tokens: tf.Tensor, counts: tf.Tensor) -> list[bytes]:
    least = job.MIN_COUNTS.get(name, 1)
    counted = zip(tokens.numpy().tolist(), counts.numpy().tolist(), strict=True)
    kept = [(count, token) for token, count in counted if token and count >= least]
    kept.sort(reverse=True)
    return [token for _, token in kept[: job.TEXT_VOCABULARY if name in job.TEXTS else None]]


def _batches(source: Path) -> Iterator[dict[str, np.ndarray]]:
    if source.suffix == ".parquet":
        parquet = pa.parquet.ParquetFile(source)
        batches: Any = parquet.iter_batches(_BATCH_ROWS, columns=list(_TYPES))
    else:
        batches = pyarrow.csv.open_csv(
            source,
            pyarrow.csv.ReadOptions(block_size=600 * _BATCH_ROWS),
            convert_options=pyarrow.csv.ConvertOptions(column_types=_TYPES),
        )
    for batch in batches:
        yield {
            name: batch[name].cast(pa.binary()).to_numpy(zero_copy_only=False)
            if name in _STRINGS
            else batch[name].to_numpy(zero_copy_only=False)
            for name in _TYPES
        }


def _record_batch(outputs: dict[str, np.ndarray]) -> pa.RecordBatch:
    columns = {}
    for name, values in outputs.items():
        flat = values.reshape(-1)
        offsets = np.arange(len(values) + 1, dtype=np.int64) * values[:1].size
        kind = pa.large_binary() if flat.dtype == object else None
        columns[name] = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(flat, kind))
    return pa.RecordBatch.from_pydict(columns)


if __name__ == "__main__":
    job.run(preprocess, __doc__)
