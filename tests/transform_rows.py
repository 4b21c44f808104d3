"""Rows in, transformed rows out, through the real job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.training.records import open_records
from skewless.schemas import Spec
from skewless.schemas.records.manifest import Manifest
from skewless.schemas.records.records import KEY, LABEL

__all__ = ["transform_rows"]


def transform_rows(
    spec: Spec, rows: list[dict[str, Any]], directory: Path
) -> tuple[dict[str, dict[str, Any]], Manifest]:
    """Preprocesses rows as JSON lines, all into the training split.

    Returns:
      Each record by its key, `__label__` included; and the manifest.
    """
    source = directory / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    manifest = preprocess(spec, [f"train={source}"], directory / "out", max_rejected=1.0)
    found: dict[str, dict[str, Any]] = {}
    batches = open_records(directory / "out").in_order("train", batch_size=64, with_key=True)
    for features, *label in batches:
        values = {name: value.numpy() for name, value in features.items()}
        if label:
            values[LABEL] = label[0].numpy()
        for place, key in enumerate(values.pop(KEY)):
            found[key.decode()] = {name: np.asarray(value[place]) for name, value in values.items()}
    return found, manifest
