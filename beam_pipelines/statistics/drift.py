"""Drift: how far the rows of a window are from those that the transform was fitted to.

Compared with `statistics.json` of the training data, by feature:

- the Jensen-Shannon divergence of the values, in bits (0: the same, 1: nothing in common), less
  what chance alone makes of so few values: (cells - 1) / (8 n ln 2) on average;
- the share of tokens out of vocabulary, and the share of rows without a value.

A window's drift is the largest of those, differences of shares without their sign.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skewless.beam_pipelines.statistics.distribution import id_cells, number_cells
from skewless.beam_pipelines.statistics.split_statistics import SplitStatistics, label_summary
from skewless.schemas.divergence import jensen_shannon_bits
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.layout import STATISTICS
from skewless.schemas.spec.models.labels import label_path
from skewless.schemas.spec.spec import Spec

__all__ = ["drift_of", "jensen_shannon", "load_reference", "worst"]


def load_reference(transform: Path) -> Mapping[str, Any]:
    """Returns the training split's statistics, which lie beside its transform; {} without them.

    Raises:
      DatasetMismatchError: If they are there and cannot be read.
    """
    path = transform.parent / STATISTICS
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        reference: Mapping[str, Any] = document["splits"].get("train", {})
    except (ValueError, KeyError, AttributeError) as error:
        raise DatasetMismatchError(
            f"{path}: not statistics of a records directory: {error}; preprocess again"
        ) from error
    return reference


def drift_of(
    spec: Spec, statistics: SplitStatistics, reference: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the `drift` of a window's manifest; {} where there is nothing to compare with.

    Args:
      spec: The declaration.
      statistics: Of the window's rows.
      reference: Of the training split.
    """
    if not reference or not statistics.rows:
        return {}
    summary = statistics.summary(spec)["features"]
    features: dict[str, dict[str, Any]] = {}
    for name, trained in reference["features"].items():
        here = summary.get(name)
        if here is None:
            continue
        measures: dict[str, Any] = {}
        if "distribution" in trained:
            measures["jensen_shannon"] = _divergence(name, statistics, trained["distribution"])
        if "oov_share" in trained:
            measures["oov_share"] = _pair(trained["oov_share"], here["oov_share"])
        measures["missing_share"] = _pair(_missing(trained), _missing(here))
        features[name] = measures
    for entry, counts in statistics.label_counts.items():
        labels = label_summary(dict(reference), entry).get("label_counts")
        if labels and len(counts):
            size = max(len(labels), len(counts))
            before = np.pad(np.array(labels, np.float64), (0, size - len(labels)))
            now = np.pad(counts, (0, size - len(counts)))
            moved = jensen_shannon(before / before.sum(), now)
            features[label_path(entry)] = {"jensen_shannon": moved}
    return {"worst": worst(features), "features": features}


def worst(features: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns the feature and measure that have moved most, and by how much."""
    found = [
        (
            abs(value["window"] - value["training"]) if isinstance(value, dict) else value,
            name,
            measure,
        )
        for name, measures in features.items()
        for measure, value in measures.items()
        if value is not None
    ]
    if not found:
        return None
    value, name, measure = max(found)
    return {"feature": name, "measure": measure, "value": value}


def jensen_shannon(shares: np.ndarray, counts: np.ndarray) -> float | None:
    """Returns the divergence of counted cells from expected shares, less chance's part of it.

    Args:
      shares: [cells] float64, of the training data; they sum to 1.
      counts: [cells] of the window.

    Returns:
      Bits in [0, 1]; None where nothing was counted.
    """
    total = counts.sum()
    if not total:
        return None
    now = counts / total
    cells = int(np.count_nonzero(shares + now))
    chance = (cells - 1) / (8 * float(total) * math.log(2))
    return float(min(1.0, max(0.0, jensen_shannon_bits(shares, now) - chance)))


def _divergence(
    name: str, statistics: SplitStatistics, distribution: Mapping[str, Any]
) -> float | None:
    """Compares with the cells that the training data's `distribution` names."""
    shares = np.array(distribution["shares"], np.float64)
    if "ids" in distribution:
        if name not in statistics.ids:
            return None
        counts = id_cells(statistics.ids[name].ids, distribution["ids"])
    else:
        if name not in statistics.numbers:
            return None
        counts = number_cells(statistics.numbers[name], distribution["edges"])
    return jensen_shannon(shares, counts) if len(shares) else None


def _missing(entry: Mapping[str, Any]) -> float:
    return entry["missing"] / entry["rows"] if entry["rows"] else 0.0


def _pair(training: float, window: float) -> dict[str, float]:
    return {"training": training, "window": window}
