"""The metric that specs are compared by."""

from __future__ import annotations

from skewless.schemas.errors import SpecError
from skewless.schemas.spec.label import (
    BinaryLabel,
    MulticlassLabel,
    MultilabelLabel,
    RegressionLabel,
    SequenceLabel,
)
from skewless.schemas.spec.network import TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["usual_metric"]

_METRICS: dict[type, str] = {
    BinaryLabel: "auc",
    MulticlassLabel: "accuracy",
    MultilabelLabel: "auc",
    RegressionLabel: "rmse",
    SequenceLabel: "token_accuracy",
}


def usual_metric(spec: Spec) -> str:
    """Returns the name in `metrics.json` that models of the spec's kind, or label, are judged by.

    Raises:
      SpecError: If the spec has no label.
    """
    if isinstance(spec.model, TwoTowerSpec):
        return f"ndcg@{spec.model.cutoffs[0]}"
    if spec.labels is not None:
        return "loss"
    if spec.training.loss is not None:
        return "ndcg@10"  # Of the rows of a group.
    if spec.label is None:
        raise SpecError("label: a model needs one; add label: {column: …, type: …}")
    return _METRICS[type(spec.label)]
