"""Rows whose class the training split does not have."""

from __future__ import annotations

import numpy as np

from skewless.beam_pipelines.rows.read_rows import Rows
from skewless.beam_pipelines.sources import Rejected
from skewless.schemas.spec.spec import Spec

__all__ = ["reject_unknown_classes"]


def reject_unknown_classes(
    spec: Spec, rows: Rows, outputs: dict[str, np.ndarray]
) -> tuple[Rows, dict[str, np.ndarray], list[Rejected]]:
    """Turns away rows whose class the transform does not know; returns what is left, and those."""
    unknown_in: dict[int, str] = {}
    for entry, declared in spec.targets.items():
        if declared.one_of_classes and entry in outputs:
            held = rows.columns.column(declared.column).is_valid()
            unknown = (outputs[entry] < 0) & held.to_numpy(zero_copy_only=False)
            for position in np.flatnonzero(unknown).tolist():
                unknown_in.setdefault(position, declared.column)
    if not unknown_in:
        return rows, outputs, []
    rejected = [
        Rejected(
            rows.unit.file,
            int(rows.numbers[position]),
            rows.keys[position].as_py(),
            column,
            "the class does not occur in the training split",
            str(rows.columns.column(column)[position].as_py()),
        )
        for position, column in sorted(unknown_in.items())
    ]
    known = np.ones(len(rows.numbers), bool)
    known[list(unknown_in)] = False
    return rows.take(known), {name: out[known] for name, out in outputs.items()}, rejected
