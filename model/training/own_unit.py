"""Progress of a regression in the unit of its label, as people know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import starmap

from skewless.model.exported.transform import Transform
from skewless.model.training.records import Records
from skewless.schemas.records.layout import TRANSFORM
from skewless.schemas.records.records import label_name
from skewless.schemas.spec.label import RegressionLabel
from skewless.schemas.spec.spec import Spec

__all__ = ["epoch_line"]


def epoch_line(spec: Spec, records: Records) -> Callable[[Mapping[str, float]], str]:
    """Returns what tells an epoch's figures.

    Errors of a z-scored label are told in its own unit, which is exact; those of a label trained on
    its logarithm cannot be told from their mean, and say so. The loss is as it was trained on.
    """
    # By a figure's name, what it is multiplied with and its unit.
    errors: dict[str, tuple[float, str]] = {}
    for entry, label in spec.targets.items():
        if not isinstance(label, RegressionLabel):
            continue
        factor, unit = 1.0, label.error_unit
        if label.standardized:
            factor = Transform(spec, records.root / TRANSFORM).label_constants(entry)[1]
        of_label = f"{label_name(entry)}_" if label_name(entry) else ""
        for held in ("", "val_"):
            errors |= {f"{held}{of_label}{error}": (factor, unit) for error in ("rmse", "mae")}

    def figure(name: str, value: float) -> str:
        if name not in errors:
            return f"{name} {value:.4f}"
        factor, unit = errors[name]
        return f"{name} {value * factor:.4g} {unit}"

    return lambda figures: "  ".join(starmap(figure, figures.items()))
