"""Where a model is not to be trusted: what was not measured, and what was and is wanting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skewless.model.report.findings import Finding, of_records, of_run
from skewless.model.report.sources import Records, Run

__all__ = ["limits_of", "meant_by_predictions"]

_FEW_ROWS = 30


def limits_of(records: Records, run: Run | None) -> list[Finding]:
    """Returns what a user of the model has to know, the general first."""
    found = [*_always(records, run)]
    if run is not None:
        found += meant_by_predictions(run.spec.training)
        found += of_run(run)
    return found + of_records(records)


def _always(records: Records, run: Run | None) -> Iterator[Finding]:
    yield Finding(
        "look",
        "other rows",
        "nothing is known about rows from elsewhere than these sources"
        + ("" if records.spec.split.time else ", nor about later ones: no split is by time"),
    )
    if run is None:
        yield Finding("act", "quality", "this model was exported without metrics; evaluate it")
        return
    yield Finding(
        "look",
        "intervals",
        "they tell what chance does to the rows, not what another seed does to training",
    )
    sliced = [
        (column, entry)
        for own in run.by_label
        for evaluation in own.evaluations.values()
        for column, entries in evaluation["slices"].items()
        for entry in entries
    ]
    if not sliced:
        yield Finding(
            "look",
            "groups of rows",
            "no slice was evaluated: it may serve some groups badly; evaluate --slice COLUMN",
        )
    few = [f"{column} = {entry['value']}" for column, entry in sliced if entry["rows"] < _FEW_ROWS]
    if few:
        more = f" and {len(few) - 3} more" if len(few) > 3 else ""
        yield Finding(
            "look",
            "small slices",
            f"fewer than {_FEW_ROWS} rows judge {', '.join(few[:3])}{more}",
        )


def meant_by_predictions(training: Any) -> Iterator[Finding]:
    """Yields what predictions are not, as they were trained."""
    if training.loss is not None:
        yield Finding(
            "look",
            "predictions",
            f"they order the rows of one {training.group}: they are no probabilities, and do not "
            "compare rows of different ones",
        )
    if training.class_weights is not None:
        yield Finding(
            "look",
            "probabilities",
            "classes counted alike in training: right for ranking, wrong as chances",
        )
    if training.focal is not None:
        yield Finding(
            "look",
            "probabilities",
            "the focal loss counts hard rows for more: right for ranking, not sure enough as chances",
        )
    if training.label_smoothing:
        yield Finding(
            "look",
            "probabilities",
            "labels were smoothed in training: probabilities keep away from 0 and 1",
        )
