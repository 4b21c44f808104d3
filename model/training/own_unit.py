"""Progress of a regression in the unit of its label, as people know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import starmap

from skewless.model.exported.transform import Transform
from skewless.model.training.records import Records
from skewless.schemas.records.layout import TRANSFORM
from skewless.schemas.records.records import label_name
from skewless.schemas.spec.label import RegressionLabel
from skewless.schemas.spec.spec import Spec

__all__ = ["ErrorUnit", "epoch_line", "error_units"]


@dataclass(frozen=True)
class ErrorUnit:
    """What a figure that was measured while training is multiplied with to be of a unit that people know.

    As it is by default, of no unit: an AUC, or a loss.
    """

    factor: float = 1.0
    name: str = ""


def error_units(spec: Spec, records: Records) -> dict[str, ErrorUnit]:
    """Returns the units of an epoch's errors, by the figure's name (`val_rmse`).

    Those of a z-scored label are told in its own unit, which is exact; those of a label trained on
    its logarithm cannot be told from their mean, and say so.
    """
    units: dict[str, ErrorUnit] = {}
    for entry, label in spec.targets.items():
        if not isinstance(label, RegressionLabel):
            continue
        factor = 1.0
        if label.standardized:
            factor = Transform(spec, records.root / TRANSFORM).label_constants(entry)[1]
        unit = ErrorUnit(factor, label.error_unit)
        of_label = f"{label_name(entry)}_" if label_name(entry) else ""
        for held in ("", "val_"):
            units |= {f"{held}{of_label}{error}": unit for error in ("rmse", "mae")}
    return units


def epoch_line(spec: Spec, records: Records) -> Callable[[Mapping[str, float]], str]:
    """Returns what tells an epoch's figures: errors by `error_units`, the loss as it was trained on."""
    units = error_units(spec, records)

    def figure(name: str, value: float) -> str:
        if name not in units:
            return f"{name} {value:.4f}"
        return f"{name} {value * units[name].factor:.4g} {units[name].name}"

    return lambda figures: "  ".join(starmap(figure, figures.items()))
