"""What `skewless init` proposes, unedited, beside LightGBM on the same rows of real tables.

    python -m benchmarks.unedited --data DIR --output OUT [--seeds 3] [--only california,bike]
        [--without PART]

DIR holds `california/housing.csv`, `bike/hour.csv`, `adult/train.csv` and `test.csv`, and
`reddit/*.csv`; none is part of this project. LightGBM gets the columns as they are, categories as
categories, of a time its hour, weekday and month too, and stops by the same eval rows. Posts are
compared with a logistic regression over TF-IDF. `--without` leaves one part of the proposal out, to
see what it is worth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, roc_auc_score

from benchmarks.real_data import frames, linear_model
from skewless.beam_pipelines.init import guess_spec
from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.train import train
from skewless.schemas import Spec, load, parse
from skewless.schemas.records.layout import SPEC

Document = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A real table.

    Attributes:
      files: Below the data directory, as `--input` takes them.
      label: The column to predict.
      metric: Of `metrics.json`.
      split: Instead of the proposed one: where rows have a split of their own, or times.
    """

    files: tuple[str, ...]
    label: str
    metric: str
    split: Document | None = None


TABLES = {
    "california": Table(("california/housing.csv",), "median_house_value", "rmse"),
    "bike": Table(
        ("bike/hour.csv",),
        "riders",
        "rmse",
        {"time": "started", "train": 0.7, "eval": 0.1, "test": 0.2},
    ),
    "adult": Table(
        ("adult/train.csv", "test=adult/test.csv"), "income", "auc", {"train": 0.9, "eval": 0.1}
    ),
    "reddit": Table(("reddit/*.csv",), "subreddit_id", "accuracy"),
}


def _without_vectors(document: Document) -> None:
    for feature in document["features"].values():
        if feature["type"] == "numeric":
            feature.pop("embedding", None)


def _without(section: str, *keys: str) -> Callable[[Document], None]:
    def leave_out(document: Document) -> None:
        for key in keys:
            document[section].pop(key, None)

    return leave_out


def _small(document: Document) -> None:
    document["model"]["hidden"] = [64]


def _few_epochs(document: Document) -> None:
    document["training"] |= {"epochs": 5, "early_stopping": 2}


PARTS: dict[str, Callable[[Document], None]] = {
    "vectors": _without_vectors,
    "schedule": _without("training", "schedule"),
    "weight_decay": _without("training", "weight_decay"),
    "width": _small,
    "epochs": _few_epochs,
}


def lightgbm(spec: Spec, held: dict[str, pd.DataFrame], seeds: range) -> float:
    """Returns the mean of the metric over the seeds, on the test rows."""
    import lightgbm

    assert spec.label is not None
    column = spec.label.column
    labels = {split: _target(spec, frame[column]) for split, frame in held.items()}
    inputs = _columns(spec, held)
    binary = spec.label.type == "binary"
    scores = []
    for seed in seeds:
        kind = lightgbm.LGBMClassifier if binary else lightgbm.LGBMRegressor
        model = kind(
            n_estimators=5_000, learning_rate=0.05, random_state=seed, subsample=0.8,
            subsample_freq=1, colsample_bytree=0.8, verbose=-1, n_jobs=1,
        )  # fmt: skip
        model.fit(
            inputs["train"],
            labels["train"],
            eval_set=[(inputs["eval"], labels["eval"])],
            callbacks=[lightgbm.early_stopping(100, verbose=False)],
        )
        if binary:
            scores.append(roc_auc_score(labels["test"], model.predict_proba(inputs["test"])[:, 1]))
        else:
            errors = model.predict(inputs["test"]) - labels["test"]
            scores.append(float(np.sqrt(np.mean(errors**2))))
    return float(np.mean(scores))


def _target(spec: Spec, values: pd.Series) -> np.ndarray:
    positive = getattr(spec.label, "positive", None)
    if positive is None:
        return pd.to_numeric(values).to_numpy(np.float64)
    return values.str.strip().isin([str(value) for value in positive]).to_numpy(np.int64)


def _columns(spec: Spec, held: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Returns what LightGBM sees of each split."""
    whole = pd.concat(held, names=["split"])
    columns: dict[str, pd.Series] = {}
    for name, feature in spec.features.items():
        for column in feature.columns_read(name):
            values = whole[column].replace(dict.fromkeys(spec.missing_values))
            if feature.type == "timestamp":
                times = pd.to_datetime(values)
                columns |= {
                    f"{column}_{part}": getattr(times.dt, part)
                    for part in ("hour", "weekday", "month")
                }
                columns[f"{column}_time"] = times.astype("int64")
            elif feature.type == "numeric":
                columns[column] = pd.to_numeric(values, errors="coerce")
            else:
                columns[column] = values.astype("category")
    table = pd.DataFrame(columns)
    return {split: table.loc[split] for split in held}


def tf_idf(spec: Spec, held: dict[str, pd.DataFrame]) -> float:
    """Returns the accuracy of the linear model on the test rows."""
    assert spec.label is not None
    labels = {split: frame[spec.label.column].str.strip() for split, frame in held.items()}
    model = linear_model(spec).fit(held["train"], labels["train"])
    return float(accuracy_score(labels["test"], model.predict(held["test"])))


def declared(name: str, data: Path) -> tuple[Document, list[str]]:
    """Returns what `init` proposes for a table, with the split that it has, and its `--input` values."""
    table = TABLES[name]
    inputs = [
        f"{split}={data / pattern}" if split else str(data / pattern)
        for split, _, pattern in (given.rpartition("=") for given in table.files)
    ]
    proposal, _ = guess_spec([given.rpartition("=")[2] for given in inputs], table.label)
    document = proposal.document
    if table.split is not None:
        document["split"] = table.split
    return document, inputs


def measure(name: str, data: Path, output: Path, seeds: range, without: str | None) -> Document:
    """Returns our metric of each seed, the other model's, and the seconds a training took."""
    table = TABLES[name]
    document, inputs = declared(name, data)
    if without is not None:
        PARTS[without](document)
    spec = parse(document, source=name)
    preprocess(spec, inputs, output / name / "records", overwrite=True)
    scores, seconds = [], []
    for seed in seeds:
        training = spec.training.model_copy(update={"seed": seed})
        begun = time.monotonic()
        metrics = train(
            output / name / "records",
            output / name / f"run-{seed}",
            spec=spec.model_copy(update={"training": training}),
            overwrite=True,
        )
        scores.append(metrics["test"][table.metric])
        seconds.append(round(time.monotonic() - begun))
        print(f"  {name} seed {seed}: {scores[-1]:.5g}, {seconds[-1]} s", flush=True)
    # With the edges in time that shares came to.
    spec = load(output / name / "records" / SPEC)
    held = frames(spec, inputs)
    other = tf_idf(spec, held) if table.metric == "accuracy" else lightgbm(spec, held, seeds)
    print(f"  {name} beside: {other:.5g}", flush=True)
    return {"metric": table.metric, "ours": scores, "other": other, "seconds": seconds}


def options(name: str, description: str | None) -> argparse.ArgumentParser:
    """Returns a parser of what this and other benchmarks of the tables take."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(TABLES), help="some of the tables, by comma")
    return parser


def main() -> None:
    """Prints the table."""
    parser = options("unedited", __doc__)
    parser.add_argument("--without", choices=PARTS, help="leave this part out")
    known = parser.parse_args()
    found = {
        name: measure(name, known.data, known.output, range(1, known.seeds + 1), known.without)
        for name in known.only.split(",")
    }
    print("\n| data | metric | skewless | other | ratio | difference | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name, entry in found.items():
        ours = float(np.mean(entry["ours"]))
        print(
            f"| {name} | {entry['metric']} | {ours:.5g} | {entry['other']:.5g} "
            f"| {ours / entry['other']:.3f} | {ours - entry['other']:+.4f} "
            f"| {np.mean(entry['seconds']):.0f} |"
        )


if __name__ == "__main__":
    main()
