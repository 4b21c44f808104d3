"""Rows whose class the training split does not have."""

from __future__ import annotations

import numpy as np

from skewless.beam_pipelines.rows.read_rows import Rows
from skewless.beam_pipelines.sources import Rejected
from skewless.schemas.records.records import LABEL
from skewless.schemas.spec.spec import Spec

__all__ = ["reject_unknown_classes"]


def reject_unknown_classes(
    spec: Spec, rows: Rows, outputs: dict[str, np.ndarray]
) -> tuple[Rows, dict[str, np.ndarray], list[Rejected]]:
    """Turns away rows whose class the transform does not know; returns what is left, and those."""
    label = outputs.get(LABEL)
    declared = spec.label
    if declared is None or declared.type != "multiclass" or label is None:
        return rows, outputs, []
    unknown = label < 0
    if not unknown.any():
        return rows, outputs, []
    values = rows.columns.column(declared.column)
    rejected = [
        Rejected(
            rows.unit.file,
            int(rows.numbers[position]),
            rows.keys[position].as_py(),
            declared.column,
            "the class does not occur in the training split",
            str(values[position].as_py()),
        )
        for position in np.flatnonzero(unknown).tolist()
    ]
    return rows.take(~unknown), {name: out[~unknown] for name, out in outputs.items()}, rejected
