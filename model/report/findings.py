"""What the figures of records and runs say should be done, each with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from skewless.model.metrics.names import LOWER_IS_BETTER, main_metric
from skewless.model.report.divergence import divergences
from skewless.model.report.run_charts import surely_worse
from skewless.model.report.sources import Records, Run
from skewless.schemas.spec.features import CategoricalFeature, NumericFeature, TextFeature
from skewless.schemas.spec.kinds.scale import steps_of
from skewless.schemas.spec.spec import Spec

__all__ = ["Finding", "of_records", "of_run"]

_MUCH_CUT, _MUCH_OOV, _MUCH_MISSING = 0.05, 0.10, 0.50
_FEW_ROWS_OF_A_CLASS = 20


@dataclass(frozen=True)
class Finding:
    """Something to do (`act`) or to look at (`look`), and about what."""

    level: Literal["act", "look"]
    subject: str
    text: str


def of_records(records: Records) -> list[Finding]:
    """Returns findings about what went in, those to act on first."""
    found = [*_rows(records)]
    splits = records.splits
    train = splits.get("train") or next(iter(splits.values()), None)
    if train is not None:
        for name, entry in train["features"].items():
            found += _feature(name, entry, records.spec)
        for own in records.by_label:
            about = _label(next(iter(own.splits.values())), own)
            found += about if own is records else (replace(f, subject=own.label) for f in about)
    if "train" in splits:
        for split in ("eval", "test"):
            if split in splits:
                found += _differences(splits["train"], splits[split], split, records.label)
    return sorted(found, key=lambda finding: finding.level != "act")


def of_run(run: Run) -> list[Finding]:
    """Returns findings about what came out, those to act on first."""
    found = [
        replace(finding, subject=f"{own.label}: {finding.subject}") if own.label else finding
        for own in run.by_label
        for finding in (*_history(own), *_held_out(own), *_slices(own))
    ]
    return sorted(found, key=lambda finding: finding.level != "act")


def _rows(records: Records) -> Iterator[Finding]:
    rows = records.manifest.rows
    if rows.rejected:
        share = rows.rejected / max(1, rows.read)
        why = ""
        if records.rejected:
            first = records.rejected[0]
            why = f", most of them ({first.rows:,}) for {first.column}: {first.reason}"
        level: Literal["act", "look"] = "act" if share > 0.005 else "look"
        yield Finding(
            level, "rejected rows", f"{rows.rejected:,} rows ({share:.2%}) are rejected{why}"
        )
    if rows.duplicate > 0.01 * rows.read:
        share = rows.duplicate / rows.read
        yield Finding(
            "look", "duplicates", f"{share:.1%} of rows repeat a key; is {records.spec.key} unique?"
        )
    for split in ("eval", "test"):
        held = records.manifest.splits.get(split)
        if held is not None and 0 < held.rows < 500:
            yield Finding(
                "look", split, f"{held.rows:,} rows judge coarsely; give {split} a larger share"
            )


def _feature(name: str, entry: Mapping[str, Any], spec: Spec) -> Iterator[Finding]:
    declared: Any = spec.features.get(name.partition(".")[0])
    rows = max(1, entry["rows"])
    missing = entry["missing"] / rows
    if missing == 1:
        yield Finding("act", name, "no row has a value; check the column's name, or leave it out")
        return
    if missing > _MUCH_MISSING:
        indicator = isinstance(declared, NumericFeature) and not declared.indicator
        hint = (
            "; `indicator: true` would tell the model" if indicator and not declared.buckets else ""
        )
        yield Finding("look", name, f"{missing:.0%} of rows have no value{hint}")
    if entry["distinct"] == 1 and not entry["missing"]:
        yield Finding(
            "act", name, "every row has the same value: it can tell nothing; leave it out"
        )
    if declared is None:
        return
    if declared.is_sequence:
        yield from _length(name, entry, declared.length)
    if isinstance(declared, TextFeature | CategoricalFeature):
        yield from _vocabulary(name, entry, declared)
    elif isinstance(declared, NumericFeature):
        yield from _tail(name, entry, declared)


def _length(name: str, entry: Mapping[str, Any], length: int) -> Iterator[Finding]:
    cut = entry.get("truncated_share", 0.0)
    quantiles = entry.get("length_quantiles", {})
    at_95, at_99 = quantiles.get("0.95", 0), quantiles.get("0.99", 0)
    if cut > _MUCH_CUT:
        yield Finding(
            "act", name, f"{cut:.0%} of rows lose tokens at {length}; {at_95} would cut 5%"
        )
    elif 0 < 2 * at_99 <= length and length > 8:
        yield Finding(
            "look",
            name,
            f"length {length} is mostly padding; {at_99} would cut 1% and train faster",
        )


def _vocabulary(
    name: str, entry: Mapping[str, Any], declared: TextFeature | CategoricalFeature
) -> Iterator[Finding]:
    share = entry["oov_share"]
    if share <= _MUCH_OOV or declared.vocabulary is None:
        return
    size, least = declared.vocabulary.max_size, declared.vocabulary.min_count
    causes = [f"max_size: {size:,}"] if size and entry["distinct"] >= size else []
    causes += [f"min_count: {least}"] if least > 1 else []
    remedy = f"loosen {' or '.join(causes)}" if causes else "let it learn its own vocabulary"
    if isinstance(declared, CategoricalFeature):
        remedy += ", or use hash_buckets"
    yield Finding(
        "act" if share > 0.3 else "look",
        name,
        f"{share:.0%} of its values are out of vocabulary in the training split; {remedy}",
    )


def _tail(name: str, entry: Mapping[str, Any], declared: NumericFeature) -> Iterator[Finding]:
    if (
        declared.buckets
        or declared.clip
        or {"log1p", "robust_clip"} & set(steps_of(declared.scale))
    ):
        return
    deviation = entry["standard_deviation"]
    if entry["max"] is None or not deviation:
        return
    far = max(entry["max"] - entry["mean"], entry["mean"] - entry["min"]) / deviation
    if far > 20:
        yield Finding(
            "act",
            name,
            f"its furthest value is {far:.0f} standard deviations out; use scale: log1p, clip, or "
            "buckets",
        )


def _label(train: Mapping[str, Any], records: Records) -> Iterator[Finding]:
    counts, label = train.get("label_counts"), records.spec.label
    if not counts or sum(counts) == 0 or label is None:
        return
    total = sum(counts)
    if label.is_binary:
        share = (counts[1] if len(counts) > 1 else 0) / total
        if share in (0.0, 1.0):
            yield Finding("act", "label", "every row has the same label; there is nothing to learn")
        elif min(share, 1 - share) < 0.05:
            yield Finding(
                "look",
                "label",
                f"{share:.1%} are positive: accuracy says little, judge by PR-AUC",
            )
    elif label.one_of_classes:
        rare = sum(1 for count in counts if count < _FEW_ROWS_OF_A_CLASS)
        if rare:
            yield Finding(
                "look",
                "label",
                f"{rare} of {len(counts)} classes have fewer than {_FEW_ROWS_OF_A_CLASS} rows to "
                "learn from; join them, or gather more",
            )


def _differences(
    train: Mapping[str, Any], held: Mapping[str, Any], split: str, label: str
) -> Iterator[Finding]:
    for entry in divergences(train, held, label):
        if entry.surprising:
            yield Finding(
                "act" if entry.distance > 0.2 else "look",
                entry.name,
                f"{split} differs from train (distance {entry.distance:.2f}, by chance "
                f"{entry.by_chance:.2f}): are its rows of another time or source? see `split`",
            )


def _history(run: Run) -> Iterator[Finding]:
    history = run.metrics.get("history", [])
    held = [entry for entry in history if "val_loss" in entry]
    if len(held) < 2:
        return
    best = min(held, key=lambda entry: entry["val_loss"])
    last = held[-1]
    if best is last:
        gained = (held[-2]["val_loss"] - last["val_loss"]) / max(1e-12, abs(held[-2]["val_loss"]))
        if gained > 0.01:
            yield Finding(
                "act",
                "training",
                f"the eval loss still fell by {gained:.1%} in the last epoch; train for more than "
                f"{last['epoch']} epochs",
            )
    elif last["loss"] < best["loss"] and last["val_loss"] > 1.02 * best["val_loss"]:
        yield Finding(
            "look",
            "training",
            f"it overfits after epoch {best['epoch']}: the training loss goes on falling while eval "
            "loses; try more dropout, smaller embeddings, or more data",
        )


def _held_out(run: Run) -> Iterator[Finding]:
    for split in ("eval", "test"):
        metrics = run.metrics.get(split)
        if not metrics:
            continue
        if metrics.get("constant_predictions"):
            yield Finding(
                "act", split, "every prediction is the same; look at the label and learning_rate"
            )
        if (metrics.get("ece") or 0.0) > 0.05:
            yield Finding(
                "look",
                split,
                f"probabilities are off by {metrics['ece']:.2f} on average; calibrate them before "
                "using them as such",
            )
        name = main_metric(metrics)
        popular = run.metrics.get("curves", {}).get(split, {}).get("popular", {"metrics": {}})
        listed = popular["metrics"].get(name)
        if listed is not None and listed >= metrics[name]:
            yield Finding(
                "act",
                split,
                f"{name} is {metrics[name]:.3f}, that of a list of the most popular candidates "
                f"{listed:.3f}; train for more epochs, or give queries features that say more",
            )
        interval = run.metrics.get("confidence", {}).get(split, {}).get(name)
        if interval and name not in LOWER_IS_BETTER and (interval[1] - interval[0]) / 2 > 0.02:
            reach = (interval[1] - interval[0]) / 2
            yield Finding(
                "look",
                split,
                f"{name} is {metrics[name]:.3f} ± {reach:.3f}: {metrics['rows']:,} rows cannot tell "
                "models apart that are closer",
            )


def _slices(run: Run) -> Iterator[Finding]:
    for split, evaluation in run.evaluations.items():
        name = main_metric(evaluation["metrics"])
        overall = evaluation["metrics"][name]
        compared = sum(map(len, evaluation["slices"].values()))
        for column, entries in evaluation["slices"].items():
            worse = [
                (abs(entry[name] - overall), entry)
                for entry in entries
                if surely_worse(entry, name, overall, compared)
            ]
            if worse:
                _, entry = max(worse, key=lambda pair: pair[0])
                yield Finding(
                    "act",
                    f"{column} = {entry['value']}",
                    f"{name} on {split} is {entry[name]:.3f} where it is {overall:.3f} over all "
                    f"({entry['rows']:,} rows), more than chance",
                )
