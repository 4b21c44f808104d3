"""Real data, from specs alone, beside a majority baseline and a linear model on the same splits.

    python -m benchmarks.real_data --data DIR --output OUT

DIR holds `adult/` (UCI Adult: train.csv, test.csv with a header) and `reddit/` (CSV files of posts,
github.com/umbrae/reddit-top-2.5-million). Neither is part of this project. The linear model is
scikit-learn's logistic regression over TF-IDF, one-hot categories and standardised numbers.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.rows.read_rows import rows_of
from skewless.beam_pipelines.sources import plan
from skewless.model.evaluate import evaluate
from skewless.model.export import export
from skewless.model.train import train
from skewless.schemas import Spec, load
from skewless.schemas.spec.features import NumericFeature, TextFeature
from skewless.schemas.spec.label import BinaryLabel
from skewless.schemas.spec.splits import SPLITS

SPECS = Path(__file__).parent / "real"
INPUTS = {
    "adult": ["adult/train.csv", "test=adult/test.csv"],
    "reddit": ["reddit/*.csv"],
}


def inputs_of(name: str, data: Path) -> list[str]:
    """Returns the `--input` values of a task."""
    found = []
    for given in INPUTS[name]:
        split, _, pattern = given.rpartition("=")
        found.append(f"{split}={data / pattern}" if split else str(data / pattern))
    return found


def frames(spec: Spec, inputs: list[str]) -> dict[str, pd.DataFrame]:
    """Returns the raw rows of each split, as our own job splits them."""
    parts: dict[str, list[pd.DataFrame]] = {split: [] for split in SPLITS}
    for unit in plan(inputs, spec):
        for rows in rows_of(unit, spec):
            frame = pa.Table.from_batches([rows.columns]).to_pandas()
            for place, split in enumerate(SPLITS):
                parts[split].append(frame[rows.splits == place])
    return {split: pd.concat(found) for split, found in parts.items() if found}


def linear_model(spec: Spec) -> Any:
    """Returns an unfitted pipeline over the spec's features."""
    steps: list[Any] = []
    for name, feature in spec.features.items():
        column = getattr(feature, "column", None) or name
        if isinstance(feature, TextFeature):
            clean = FunctionTransformer(lambda texts: texts.fillna(""))
            steps.append(
                (name, make_pipeline(clean, TfidfVectorizer(sublinear_tf=True, min_df=2)), column)
            )
        elif isinstance(feature, NumericFeature):
            scale = [FunctionTransformer(np.log1p)] if feature.scale == "log1p" else []
            steps.append((name, make_pipeline(*scale, StandardScaler()), [column]))
        else:
            steps.append((name, OneHotEncoder(handle_unknown="ignore"), [column]))
    return make_pipeline(ColumnTransformer(steps), LogisticRegression(max_iter=2000, C=3.0))


def baselines(spec: Spec, inputs: list[str]) -> dict[str, dict[str, float]]:
    """Returns the metrics, on the test split, of the majority class and of the linear model."""
    assert spec.label is not None
    held = frames(spec, inputs)
    labels = {split: frame[spec.label.column].str.strip() for split, frame in held.items()}
    if isinstance(spec.label, BinaryLabel):
        positive = set(map(str, spec.label.positive or ()))
        labels = {split: values.isin(positive).astype(int) for split, values in labels.items()}
    majority = labels["train"].mode()[0]
    model = linear_model(spec).fit(held["train"], labels["train"])
    probabilities = model.predict_proba(held["test"])
    test = labels["test"]
    if isinstance(spec.label, BinaryLabel):
        area = roc_auc_score(test, probabilities[:, 1])
    else:
        area = roc_auc_score(test, probabilities, multi_class="ovr", labels=model.classes_)
    return {
        "majority": {"accuracy": float((test == majority).mean())},
        "linear": {
            "accuracy": float(accuracy_score(test, model.classes_[probabilities.argmax(axis=1)])),
            "auc": float(area),
            "loss": float(log_loss(test, probabilities, labels=model.classes_)),
        },
    }


def main() -> None:
    """Runs both tasks and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    known = parser.parse_args()
    result: dict[str, Any] = {}
    for name in INPUTS:
        spec, inputs = load(SPECS / f"{name}.yaml"), inputs_of(name, known.data)
        root = known.output / name
        begin = time.monotonic()
        manifest = preprocess(spec, inputs, root / "records", overwrite=True)
        train(root / "records", root / "run", overwrite=True)
        ours = evaluate(root / "run", root / "records", "test")["metrics"]
        report = export(root / "run", root / "served", overwrite=True)
        result[name] = {
            "rows": manifest.rows.model_dump(),
            "seconds": round(time.monotonic() - begin, 1),
            "parity": str(report),
            "skewless": ours,
            **baselines(spec, inputs),
        }
        print(f"\n{name}: {manifest.rows.read:,} rows; {result[name]['parity']}")
        for way in ("majority", "linear", "skewless"):
            metrics = result[name][way]
            cells = (
                f"{key} {metrics[key]:.4f}" for key in ("accuracy", "auc", "loss") if key in metrics
            )
            print(f"  {way:<10}{'  '.join(cells)}")
    known.output.mkdir(parents=True, exist_ok=True)
    (known.output / "real_data.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
