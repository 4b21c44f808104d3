"""Arms whose model was built once, before anything is trained."""

from __future__ import annotations

import logging

import keras

from skewless.model.comparison.arms import Arm, with_values
from skewless.model.network.build import build
from skewless.model.training.records import Records
from skewless.schemas.errors import SpecError
from skewless.schemas.spec.network import TowersSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["built"]

# Of a projection where no layer after the merge gives one.
_WIDTH = 64
_LOGGER = logging.getLogger(__name__)


def built(arm: Arm, records: Records) -> tuple[Arm, int]:
    """Builds the arm's model, so that what cannot be built is refused before anything is trained.

    Returns:
      The arm, with a projection where its merge needs one and none is declared: to the width of the
      layer after the merge. And how many parameters it has.
    """
    refusal = None
    for candidate in (arm, _projected(arm)):
        try:
            count = _parameters(candidate.spec, records)
        except SpecError as error:
            refusal = refusal or error
            continue
        if candidate is not arm:
            _LOGGER.info(
                "%s: towers are projected to one width, which this merge needs; "
                "--set model.projection=N sets it",
                arm.name,
            )
        return candidate, count
    assert refusal is not None
    raise SpecError(refusal.problems, source=arm.name) from refusal


def _projected(arm: Arm) -> Arm:
    model = arm.spec.model
    if not isinstance(model, TowersSpec) or model.projection is not None:
        return arm
    width = model.hidden[0] if model.hidden else _WIDTH
    return Arm(arm.values, with_values(arm.spec, {"model.projection": width}))


def _parameters(spec: Spec, records: Records) -> int:
    count: int = build(spec, records.manifest.features).count_params()
    keras.utils.clear_session()
    return count
