"""Own Keras models on records: inputs for every entry, and the declared embeddings to build on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skewless.records import Records, declared
from skewless.schemas.spec.spec import Spec

__all__ = ["inputs", "towers"]


def inputs(records: Records) -> dict[str, Any]:
    """Returns a `keras.Input` for each feature's record entry, by name.

    Their dtypes and shapes are the manifest's: [length] or [] int64 IDs, [width] float32 numbers.

    Example:
      inputs = sk.inputs(records)
    """
    from skewless.model.network.towers import inputs_of

    return inputs_of(records.manifest.features)


def towers(
    spec: Spec | dict[str, Any] | str | Path | None, records: Records, inputs: dict[str, Any]
) -> dict[str, Any]:
    """Returns the vector, [batch, width], of each feature or group as the spec declares it.

    Embedding tables have as many rows as the records' transform gives out IDs.

    Args:
      spec: The declaration; None for the records' own.
      records: What `preprocess` gave.
      inputs: From `inputs`.

    Raises:
      DatasetMismatchError: If the records lack a declared feature.
      SpecError: If a group's merge needs equal widths and they differ.

    Example:
      vectors = sk.towers(None, records, inputs)
      hidden = keras.layers.Concatenate()(list(vectors.values()))
    """
    from skewless.model.network.towers import towers_of

    chosen = records.spec if spec is None else declared(spec)
    # A layer each, so that a model may be built on some of them.
    return towers_of(chosen, records.manifest.features, inputs, stacked=False)
