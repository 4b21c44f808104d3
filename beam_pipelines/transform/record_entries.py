"""What a fitted transform gives: names, dtypes, shapes and cardinalities of record entries.

Read from the transform's own output, so that no embedding table is ever sized by hand.
"""

from __future__ import annotations

import os

import pyarrow as pa
import tensorflow as tf

from skewless.beam_pipelines.transform.graph import opened_graph
from skewless.beam_pipelines.transform.numeric import bin_edges, constants_of
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.constants import load_numbers
from skewless.schemas.records.id_contract import FIRST_ID, first_vocabulary_id
from skewless.schemas.records.layout import ASSETS, TRANSFORM_FN
from skewless.schemas.records.manifest import FeatureEntry
from skewless.schemas.records.records import KEY, is_diagnostic
from skewless.schemas.records.vocabulary_file import read_vocabulary
from skewless.schemas.records.vocabulary_names import vocabulary_file
from skewless.schemas.rows.raw_columns import raw_columns
from skewless.schemas.rows.row_encoding import list_schema
from skewless.schemas.rows.saved_graph import OutputTypes, written_outputs
from skewless.schemas.spec.features import NumericFeature
from skewless.schemas.spec.kinds.number_embedding import PiecewiseLinear
from skewless.schemas.spec.spec import Spec

__all__ = ["record_entries", "vocabulary_of", "vocabulary_path"]


def vocabulary_path(spec: Spec, name: str, transform_directory: str) -> str:
    """Returns where a transform keeps the entries that a feature, or the label, is looked up in."""
    assets = os.path.join(transform_directory, TRANSFORM_FN, ASSETS)
    return str(vocabulary_file(spec, name, assets))


def vocabulary_of(spec: Spec, name: str, transform_directory: str) -> list[bytes]:
    """Returns the entries a feature, or the label, is looked up in, in ID order."""
    return read_vocabulary(vocabulary_path(spec, name, transform_directory))


def record_entries(spec: Spec, transform_directory: str) -> dict[str, FeatureEntry]:
    """Returns the manifest's entry for each record entry.

    Raises:
      DatasetMismatchError: If the transform is not one of this spec.
    """
    outputs = written_outputs(transform_directory) or _called(spec, transform_directory)
    absent = [name for name in (*spec.features, *spec.targets) if name not in outputs]
    if absent:
        raise DatasetMismatchError(
            f"{transform_directory}: gives no {', '.join(absent)}; it was fitted to another spec; "
            "use the transform of the same spec, or leave --transform out"
        )
    entries = {KEY: FeatureEntry(dtype="string", shape=())}
    for name, (dtype, shape) in outputs.items():
        if is_diagnostic(name):
            continue
        integer = dtype.is_integer
        size, cardinality = None, None
        if integer or (name in spec.targets and spec.targets[name].names_classes):
            size, cardinality = _sizes(spec, name, transform_directory)
        entries[name] = FeatureEntry(
            dtype="int64" if integer else "float32",
            shape=shape,
            cardinality=cardinality,
            vocabulary_size=size,
            edges=_edges(spec, name, transform_directory),
        )
    return entries


def _called(spec: Spec, transform_directory: str) -> OutputTypes:
    """Returns what the transform gives for no rows: what its schema tells of not all outputs."""
    graph = opened_graph(spec, os.path.join(transform_directory, TRANSFORM_FN), last_use=True)
    empty = pa.RecordBatch.from_pylist([], schema=list_schema(raw_columns(spec)))
    try:
        outputs = graph(empty)
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise DatasetMismatchError(
            f"{transform_directory}: does not take this spec's columns ({error}); "
            "use the transform of the same spec, or leave --transform out"
        ) from error
    return {
        name: (tf.dtypes.as_dtype(value.dtype), value.shape[1:]) for name, value in outputs.items()
    }


def _edges(spec: Spec, name: str, directory: str) -> tuple[tuple[float, ...], ...] | None:
    """Returns the bins' edges of numbers whose embedding is piecewise linear."""
    feature = spec.features.get(name)
    if not isinstance(feature, NumericFeature):
        return None
    if not isinstance(feature.embedding, PiecewiseLinear):
        return None
    # A transform may have been fitted to a spec that declared no such embedding.
    constants = constants_of(load_numbers(directory)).get(name)
    return None if constants is None else bin_edges(feature, constants)


def _sizes(spec: Spec, name: str, directory: str) -> tuple[int | None, int | None]:
    """Returns the vocabulary size and the cardinality of an integer entry."""
    feature, label = spec.features.get(name), spec.targets.get(name)
    if label is not None:
        size = len(vocabulary_of(spec, name, directory))
        if label.names_classes:
            return size, size
        return size, first_vocabulary_id(label.unknown_ids) + size + 2
    if feature is None:  # An output of the escape hatch: as far as tf.Transform knows it.
        import tensorflow_transform as tft

        schema = tft.TFTransformOutput(directory).transformed_metadata.schema
        domains = {entry.name: entry.int_domain for entry in schema.feature}
        domain = domains.get(name)
        return None, domain.max + 1 if domain is not None and domain.max > 0 else None
    if feature.fixed_ids is not None:
        return None, FIRST_ID + feature.fixed_ids
    size = len(vocabulary_of(spec, name, directory))
    return size, first_vocabulary_id(feature.unknown_ids) + size
