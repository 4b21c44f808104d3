"""Records: the names and parsing of what a TFRecord holds.

A record is a tf.Example with one entry a feature, under the feature's own name, and a few
entries of ours, whose names no feature can take.

Where the manifest says `rows_per_record: N`, N above 1, a record holds 1 to N rows of one split:
each entry is the rows' values one after the other, so that names are stored and parsed once for
all of them. Only a shard's last record may hold fewer than N. Counts in the manifest are of rows.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

    from skewless.schemas.records.manifest import Manifest

__all__ = [
    "FILE",
    "KEY",
    "LABEL",
    "LABEL_MEAN",
    "LABEL_SCALE",
    "NO_CLASS",
    "ROW",
    "WEIGHT",
    "beside_names",
    "is_diagnostic",
    "is_feature",
    "is_label",
    "label_entry",
    "label_mean_name",
    "label_name",
    "label_scale_name",
    "missing_name",
    "numbers_name",
    "parse_rows",
    "record_feature_spec",
    "seen_name",
    "steps_name",
    "time_name",
    "tokens_name",
    "weights_name",
]

KEY = "__key__"
LABEL = "__label__"
WEIGHT = "__weight__"
# Where a row in `raw/` came from; beside KEY.
FILE = "__file__"
ROW = "__row__"
# What undoes a z-scored regression label: own unit = value * scale + mean. [batch] float32, the
# same in every row; outputs of the transform graph that are not written to records.
LABEL_MEAN = "__label_mean__"
LABEL_SCALE = "__label_scale__"
# Of several labels, in a row that lacks it: a class's ID; a number is NaN, a binary label too.
NO_CLASS = -1
_TOKENS = "__tokens__"
_TIME = "__time__"
_SEEN = "__seen__"


def label_entry(label: str) -> str:
    """Returns the record name of one of several labels; a single one's is `LABEL`."""
    return f"{LABEL}{label}"


def label_name(entry: str) -> str:
    """Returns which of several labels an entry holds; "" of the single one."""
    return entry.removeprefix(LABEL)


def is_label(name: str) -> bool:
    """Whether an entry holds a label."""
    return name.startswith(LABEL)


def is_feature(name: str) -> bool:
    """Whether an entry is put into a model."""
    return name not in (KEY, WEIGHT) and not is_label(name)


def label_mean_name(entry: str) -> str:
    """Returns the transform's output with the mean of the scaled label that `entry` holds."""
    return f"{LABEL_MEAN}{label_name(entry)}"


def label_scale_name(entry: str) -> str:
    """Returns the transform's output with the scale of the scaled label that `entry` holds."""
    return f"{LABEL_SCALE}{label_name(entry)}"


def missing_name(feature: str) -> str:
    """Returns the record name of a numeric feature's was-missing indicator."""
    return f"__missing__{feature}"


def tokens_name(feature: str) -> str:
    """Returns the transform's output with a sequence's length before truncation.

    It feeds statistics and is not written to records.
    """
    return f"{_TOKENS}{feature}"


def numbers_name(feature: str) -> str:
    """Returns the record name of the numbers that a time has beside the IDs of its parts."""
    return f"__numbers__{feature}"


def weights_name(feature: str) -> str:
    """Returns the record name of what the values of a feature weigh, step by step."""
    return f"__weights__{feature}"


def steps_name(feature: str) -> str:
    """Returns the record name of how many steps a row's sequence of numbers has, as float32."""
    return f"__steps__{feature}"


def seen_name(feature: str) -> str:
    """Returns the transform's output with the kept steps' numbers before scaling, for statistics only."""
    return f"{_SEEN}{feature}"


def beside_names(feature: str) -> tuple[str, ...]:
    """Returns the record names of all that a feature may have beside the entry of its own name."""
    made = (missing_name, numbers_name, weights_name, steps_name)
    return tuple(name(feature) for name in made)


def time_name(feature: str) -> str:
    """Returns the transform's output with a time's microseconds, for statistics only."""
    return f"{_TIME}{feature}"


def is_diagnostic(name: str) -> bool:
    """Whether a transform output is not written to records."""
    return name.startswith((_TOKENS, _TIME, _SEEN, LABEL_MEAN, LABEL_SCALE))


def record_feature_spec(manifest: Manifest) -> dict[str, tf.io.FixedLenFeature]:
    """Returns the parsing spec of a record: every entry dense, of the manifest's shape."""
    import tensorflow as tf

    return {
        name: tf.io.FixedLenFeature(entry.shape, tf.dtypes.as_dtype(entry.dtype))
        for name, entry in manifest.features.items()
    }


def parse_rows(
    serialized: tf.Tensor, manifest: Manifest, names: Collection[str]
) -> dict[str, tf.Tensor]:
    """Parses records into rows, whichever number of rows a record holds.

    Args:
      serialized: [records] string.
      manifest: Says what a record holds.
      names: The entries to parse.

    Returns:
      By name, [rows, ...] of the manifest's dtypes and shapes, in the records' order.

    Raises:
      InvalidArgumentError: When run, if a record lacks an entry, or holds values that are no whole
        number of rows, or not as many rows in each entry.
    """
    import tensorflow as tf

    if manifest.rows_per_record == 1:
        whole = record_feature_spec(manifest)
        return dict(tf.io.parse_example(serialized, {name: whole[name] for name in names}))
    entries = {name: manifest.features[name] for name in names}
    ragged = tf.io.parse_example(
        serialized,
        {name: tf.io.RaggedFeature(tf.as_dtype(entry.dtype)) for name, entry in entries.items()},
    )
    found, counts = {}, []
    for name, entry in entries.items():
        values = ragged[name]
        counts.append(values.row_splits // math.prod(entry.shape))
        found[name] = tf.reshape(values.flat_values, [-1, *entry.shape])
    checks = [
        tf.debugging.assert_equal(
            other, counts[0], message="entries of a record differ in their number of rows"
        )
        for other in counts[1:]
    ]
    with tf.control_dependencies(checks):
        return {name: tf.identity(value) for name, value in found.items()}
