"""Progress of a regression in the unit of its label, as people know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from skewless.model.exported.transform import Transform
from skewless.model.training.records import Records
from skewless.schemas.records.layout import TRANSFORM
from skewless.schemas.spec.label import RegressionLabel
from skewless.schemas.spec.spec import Spec

__all__ = ["epoch_line"]

_ERRORS = frozenset(f"{held}{name}" for held in ("", "val_") for name in ("rmse", "mae"))


def epoch_line(spec: Spec, records: Records) -> Callable[[Mapping[str, float]], str]:
    """Returns what tells an epoch's figures.

    Errors of a z-scored label are told in its own unit, which is exact; those of a label trained on
    its logarithm cannot be told from their mean, and say so. The loss is as it was trained on.
    """
    label, factor, unit = spec.label, 1.0, ""
    if isinstance(label, RegressionLabel):
        unit = f" {label.column}"
        if label.scale == "z_score":
            factor = Transform(spec, records.root / TRANSFORM).label_constants()[1]
        elif label.scale == "log1p":
            unit = f" log1p({label.column})"

    def told(figures: Mapping[str, float]) -> str:
        return "  ".join(
            f"{name} {value * factor:.4g}{unit}" if name in _ERRORS else f"{name} {value:.4f}"
            for name, value in figures.items()
        )

    return told
