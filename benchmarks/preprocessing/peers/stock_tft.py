"""The job as a stock tf.Transform preprocessing function, shared by both stock peers."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft
from apache_beam.options.pipeline_options import PipelineOptions

from benchmarks.preprocessing.peers import job

__all__ = ["FEATURE_SPEC", "in_memory_runner", "preprocessing_fn"]

FEATURE_SPEC = {
    **{
        name: tf.io.FixedLenFeature([], tf.string)
        for name in ("review_id", *job.CATEGORICALS, *job.TEXTS)
    },
    "age": tf.io.VarLenFeature(tf.float32),
    "price": tf.io.FixedLenFeature([], tf.float32),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


def preprocessing_fn(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns what a record holds; IDs are 0 padding, 1 missing, 2 unknown, then the vocabulary."""
    outputs = {}
    for name in job.CATEGORICALS:
        outputs[name] = 3 + tft.compute_and_apply_vocabulary(
            inputs[name],
            frequency_threshold=job.MIN_COUNTS.get(name),
            vocab_filename=name,
        )
    for name, length in job.LENGTHS.items():
        ids = tft.compute_and_apply_vocabulary(
            _words(inputs[name]), top_k=job.TEXT_VOCABULARY, vocab_filename=name
        )
        outputs[name] = (3 + ids).to_tensor(0, shape=[None, length])
    # Scaling what is present and filling with 0 puts the mean in place of what is missing.
    age = tft.scale_to_z_score(inputs["age"])
    rows = tf.shape(inputs["price"], tf.int64)[0]
    age = tf.SparseTensor(age.indices, age.values, tf.stack([rows, 1]))
    outputs["age"] = tf.sparse.to_dense(age, 0.0)[:, 0]
    outputs["price"] = 2 + tft.bucketize(inputs["price"], job.BUCKETS)
    outputs["__label__"] = tf.cast(inputs["label"], tf.float32)
    outputs["__key__"] = inputs["review_id"]
    return outputs


def in_memory_runner() -> PipelineOptions:
    """Returns options of Beam's in-process runner, which DirectRunner falls back to.

    By the name DirectRunner Beam may try to download Prism. Its parallel modes lose rows, so both
    cores are used by TensorFlow's own threads only.
    """
    return PipelineOptions(["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"])


def _words(texts: tf.Tensor) -> tf.RaggedTensor:
    lowered = tf.strings.lower(texts, encoding="utf-8")
    return tf.strings.split(tf.strings.regex_replace(lowered, job.between_words(), " "))
