"""A function of the spec's own (`preprocessing: module:function`) and what its outputs must be.

They become entries of records and inputs of the model under their names, so that they are held to
the same rules as features are.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from skewless.beam_pipelines.transform.tft_internals import traced
from skewless.schemas.errors import SpecError
from skewless.schemas.records.layout import ASSETS, TRANSFORM_FN
from skewless.schemas.records.vocabulary_file import read_vocabulary
from skewless.schemas.records.vocabulary_names import vocabulary_asset
from skewless.schemas.rows.prepare import RawTensors
from skewless.schemas.rows.raw_columns import raw_columns
from skewless.schemas.spec.features import FEATURE_NAME
from skewless.schemas.spec.network import TowersSpec
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.between.files import file_at_hand

__all__ = ["check_own_assets", "check_own_function", "own_function"]

OwnFunction = Callable[[RawTensors], dict[str, tf.Tensor]]
_NUMBERS = (tf.float32, tf.float64, tf.int64)


def own_function(spec: Spec) -> OwnFunction | None:
    """Returns the spec's own function of raw columns, or None if it has none.

    Single values are [batch, 1] even where all of them are missing.

    Raises:
      SpecError: If it cannot be imported.
    """
    if spec.preprocessing is None:
        return None
    function, columns = _imported(spec.preprocessing), raw_columns(spec)

    def of_columns(inputs: RawTensors) -> dict[str, tf.Tensor]:
        return function(
            {
                name: value
                if columns[name].multivalued
                else tf.SparseTensor(value.indices, value.values, [value.dense_shape[0], 1])
                for name, value in inputs.items()
            }
        )

    return of_columns


def check_own_function(spec: Spec) -> None:
    """Traces the spec's own function, without data, and refuses outputs that cannot be used.

    Raises:
      SpecError: If it cannot be imported, raises, or gives what is no entry of a record; if an
        output is called as no feature could be, or as a feature or a group is.
    """
    function = own_function(spec)
    if function is None:
        return
    columns = raw_columns(spec)
    outputs: dict[Any, Any] = {}

    def checked(inputs: RawTensors) -> dict[str, tf.Tensor]:
        given = function(inputs)
        if not isinstance(given, Mapping):
            raise TypeError(f"expected a dict of tensors by name, got {type(given).__name__}")
        outputs.update(given)
        # What tf.Transform itself would refuse is told below, by name.
        return {"any": tf.zeros([1])}

    specs = {
        name: tf.SparseTensorSpec([None, None], tf.as_dtype(column.kind))
        for name, column in columns.items()
    }
    try:
        traced(checked, specs)
    except Exception as error:
        raise SpecError(
            f"preprocessing: {spec.preprocessing} raises {type(error).__name__}: {error}; mend it "
            f"(it is given the columns {', '.join(columns)}, as SparseTensors)"
        ) from error
    problems = [problem for name in outputs for problem in _problems(spec, name, outputs[name])]
    if isinstance(spec.model, TowersSpec) and spec.model.merge == "dot":
        grouped = {name for group in spec.model.groups.values() for name in group.features}
        alone = [name for name in spec.features if name not in grouped]
        towers = [*alone, *spec.model.groups, *outputs]
        if len(towers) != 2:
            problems.append(
                f"model.merge: dot takes exactly two towers, got {', '.join(map(str, towers))}"
            )
    if problems:
        raise SpecError(problems)


def check_own_assets(spec: Spec, vocabularies: Mapping[str, str], directory: str) -> None:
    """Checks that a fitted transform's files of features are not those of the spec's own function.

    TensorFlow calls one of two files of one name otherwise.

    Args:
      spec: The declaration.
      vocabularies: The file of each counted vocabulary, by its owner.
      directory: The fitted transform.

    Raises:
      SpecError: If `vocab_filename` in the function is a file of ours.
    """
    for owner, path in vocabularies.items():
        name = vocabulary_asset(spec, owner)
        kept = os.path.join(directory, TRANSFORM_FN, ASSETS, name)
        others = [f"{kept}_{number}" for number in range(1, 3)]
        if read_vocabulary(kept) != read_vocabulary(file_at_hand(path)) or any(
            map(tf.io.gfile.exists, others)
        ):
            raise SpecError(
                f"preprocessing: {spec.preprocessing} calls a vocabulary file {name!r}, as that of "
                f"{owner} is; give it another `vocab_filename`"
            )


def _problems(spec: Spec, name: Any, value: Any) -> Iterator[str]:
    where = f"preprocessing: {spec.preprocessing} gives {_short(name)!r}"
    if not isinstance(name, str) or not FEATURE_NAME.match(name):
        yield (
            f"{where}: expected a name of 1 to 200 letters (a to z), digits and _ that starts with a "
            "letter; return it under another"
        )
    elif name in spec.features:
        yield f"{where}: a feature has this name; return it under another"
    elif name in getattr(spec.model, "groups", {}):
        yield f"{where}: a group has this name; rename one of them"
    if not isinstance(value, tf.Tensor):
        yield (
            f"{where}: expected a dense tensor, got {type(value).__name__}; make it dense, with as "
            "many values in each row (tf.sparse.to_dense, tf.RaggedTensor.to_tensor with a shape)"
        )
    elif value.dtype not in _NUMBERS:
        yield (
            f"{where}: expected float32 or int64, got {value.dtype.name}; tf.cast numbers, and make "
            "IDs of texts (tft.compute_and_apply_vocabulary)"
        )
    elif value.shape.rank in (None, 0) or None in value.shape.as_list()[1:]:
        yield (
            f"{where}: expected [batch, …] of a known shape, since a record holds as many values as "
            f"any other, got {value.shape}; cut and pad it, or tell its shape by tf.ensure_shape"
        )


def _short(name: Any) -> Any:
    return name if len(str(name)) <= 60 else f"{str(name)[:60]}…"


def _imported(path: str) -> OwnFunction:
    module_name, function_name = path.split(":")
    try:
        function: OwnFunction = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise SpecError(
            f"preprocessing: cannot import {path!r} ({error}); expected module:function, importable "
            "from where the command runs; to workers on other machines go its module and those of your "
            "own that it names in import statements, so install there what it imports otherwise"
        ) from error
    return function
