"""What a request asks of a model, whatever protocol it came by, by TensorFlow Serving's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skewless.model.serve.batching import Batcher
from skewless.model.serve.models.servable import Arrays, Servable
from skewless.model.serve.reading.json_tensors import Input
from skewless.model.serve.reading.requests import DEFAULT_SIGNATURE, EXAMPLES
from skewless.model.serve.status import ServingError

__all__ = ["DEFAULT_SIGNATURE", "classify", "predict", "regress"]


async def predict(
    batcher: Batcher,
    servable: Servable,
    signature: str,
    inputs: Arrays,
    wanted: Sequence[str] = (),
    api: str = "Predict",
    rows: int | None = None,
) -> Arrays:
    """Returns the outputs of a signature.

    Args:
      batcher: Computes.
      servable: The version that answers.
      signature: One of its signatures.
      inputs: [rows, ...] of each input; [0, ...] for a column absent from all rows.
      wanted: Names of outputs; empty for all.
      api: What figures call it.
      rows: How many, where there may be rows without any column.

    Raises:
      ServingError: If the inputs are not those of the signature.
    """
    declared = servable.signatures[signature]
    if rows and not inputs:
        inputs = servable.missing_rows(signature, rows)
    rows = _rows(inputs, servable.inputs[signature])
    for name in wanted:
        if name not in declared.outputs:
            raise _refused(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the "
                f"set {{{','.join(sorted(declared.outputs))}}}."
            )
    outputs = await batcher.run(servable, signature, inputs, rows, api)
    return {name: outputs[name] for name in wanted} if wanted else outputs


async def classify(
    batcher: Batcher, servable: Servable, signature: str, examples: Sequence[bytes] | np.ndarray
) -> list[list[tuple[bytes, float]]]:
    """Returns the classes of each serialized tf.Example with their scores.

    Raises:
      ServingError: If the signature does not classify, or there are no examples.
    """
    outputs = await _of_examples(batcher, servable, signature, examples, "classify")
    pairs = zip(outputs["classes"].tolist(), outputs["scores"].tolist(), strict=True)
    return [list(zip(classes, scores, strict=True)) for classes, scores in pairs]


async def regress(
    batcher: Batcher, servable: Servable, signature: str, examples: Sequence[bytes] | np.ndarray
) -> np.ndarray:
    """Returns the [rows] values of serialized tf.Examples.

    Raises:
      ServingError: If the signature does not regress, or there are no examples.
    """
    outputs = await _of_examples(batcher, servable, signature, examples, "regress")
    return outputs["outputs"]


async def _of_examples(
    batcher: Batcher,
    servable: Servable,
    signature: str,
    examples: Sequence[bytes] | np.ndarray,
    method: str,
) -> Arrays:
    kind = {"classify": "classification", "regress": "regression"}[method]
    declared = servable.signatures.get(signature)
    if declared is None:
        raise _refused(f"No signature was found with the name: {signature}")
    expected = f"tensorflow/serving/{method}"
    if declared.method_name != expected:
        names = [
            name for name, other in servable.signatures.items() if other.method_name == expected
        ]
        remedy = (
            f"; give the signature_name {names[0]!r}"
            if names
            else "; this model has no such signature"
        )
        raise _refused(
            f"Expected {kind} signature method_name to be {expected}. Was: "
            f"{declared.method_name}{remedy}"
        )
    if not len(examples):
        raise _refused("Input is empty.")
    rows = examples if isinstance(examples, np.ndarray) else np.array(examples, object)
    inputs = {EXAMPLES: rows}
    return await predict(batcher, servable, signature, inputs, api=method.capitalize())


def _rows(inputs: Arrays, declared: Mapping[str, Input]) -> int:
    """Returns the number of rows, which the inputs must agree on.

    A batch holds rows of several requests: what one of them has wrong must show before.
    """
    given, names = set(inputs), set(declared)
    missing = {name for name in names - given if not declared[name].optional}
    if given - names or missing:
        raise _refused(
            f"input size does not match signature: {len(given)}!={len(names)} "
            f"len({{{_listed(given)}}}) != len({{{_listed(names)}}}). "
            f"Sent extra: {{{_listed(given - names)}}}. Missing but required: {{{_listed(missing)}}}."
        )
    for name, value in inputs.items():
        expected = declared[name]
        found = "string" if value.dtype == object else value.dtype.name
        if expected.dtype != found:
            raise _refused(f"input tensor {name!r} expected type: {expected.dtype} got: {found}")
        if value.ndim != expected.rank and value.shape != (0,):
            raise _refused(
                f"input tensor {name!r} expected {expected.rank} dimensions, the first the "
                f"batch's, got the shape {list(value.shape)}"
            )
    sizes = {name: len(value) for name, value in inputs.items()}
    rows = max(sizes.values(), default=0)
    if rows == 0:
        raise _refused("the request holds no row")
    short = {
        name: size
        for name, size in sizes.items()
        if size not in (rows, 0) or (size == 0 and not declared[name].optional)
    }
    if short:
        raise _refused(f"expected {rows} rows of every input, got {_shown(short)}")
    return rows


def _listed(names: set[str]) -> str:
    return ",".join(sorted(names))


def _shown(sizes: dict[str, Any]) -> str:
    return ", ".join(f"{size} of {name}" for name, size in sorted(sizes.items()))


def _refused(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
