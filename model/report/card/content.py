"""What a model card says, as sections: the page of a report shows them, a Markdown file holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skewless.model.metrics.names import main_metric
from skewless.model.report.card.limits import limits_of
from skewless.model.report.drawing import number
from skewless.model.report.run_charts import surely_worse
from skewless.model.report.run_sections import metrics_table, with_interval
from skewless.model.report.sections import Section, Table
from skewless.model.report.sources import Records, Run
from skewless.model.training.epoch.kept import kept_epoch
from skewless.schemas.spec.network import TwoTowerSpec

__all__ = ["card_sections"]

_MOST_SOURCES = 20
_MOST_VALUES = 30


def card_sections(records: Records, run: Run | None) -> list[Section]:
    """Returns the sections of a card: model, data, splits, and of a finished run how good it is.

    Args:
      records: What was trained on, or the copy of its description that a run keeps.
      run: The run; None of a model that was trained elsewhere, or has not finished.
    """
    sections = [
        Section("model", "Model", tables=[_facts("Model", _model(records, run))]),
        Section("data", "Data", tables=list(_data(records))),
        Section("splits", "Splits", _how_split(records), tables=[_splits(records)]),
    ]
    if run is not None:
        sections.append(
            Section("training", "Training", tables=[_facts("Training", _training(run))])
        )
        for own in run.by_label:
            sections += _quality(own)
    limits: list[tuple[str, ...]] = [
        (finding.subject, finding.text) for finding in limits_of(records, run)
    ]
    table = Table("What to know before using it", ("about", "what"), limits)
    return [*sections, Section("limits", "Limits", tables=[table])]


def _quality(run: Run) -> list[Section]:
    """Returns how good a run is, of one of several labels where it is of that alone."""
    after, of = (f"-{run.label}", f" of {run.label}") if run.label else ("", "")
    splits = [split for split in ("eval", "test") if split in run.metrics]
    return [
        Section(f"metrics{after}", f"Metrics{of}", tables=[metrics_table(run, splits)]),
        Section(f"slices{after}", f"Slices{of}", _about_slices(run), tables=list(_slices(run))),
    ]


def _facts(title: str, facts: Iterator[tuple[str, str]]) -> Table:
    rows: list[tuple[str, ...]] = [*facts]
    return Table(title, ("what", "value"), rows)


def _model(records: Records, run: Run | None) -> Iterator[tuple[str, str]]:
    spec = records.spec if run is None else run.spec
    yield "name", spec.name
    if run is not None:
        yield "kind", spec.model.type
    for label in spec.targets.values():
        named = [f"{key} {', '.join(map(str, value))}" for key, value in _values(label)]
        yield "predicts", "; ".join([f"{label.column} ({label.type})", *named])
    if isinstance(spec.model, TwoTowerSpec):
        yield "finds", f"{', '.join(spec.model.candidate)}, for {', '.join(spec.model.query)}"
    kinds = (f"{name} ({feature.type})" for name, feature in spec.features.items())
    yield "features", ", ".join(kinds)
    if spec.weight:
        yield "weight of rows", spec.weight
    yield "transform, SHA-256", records.manifest.transform_sha256
    yield "spec of the records, SHA-256", records.manifest.spec_sha256


def _values(label: Any) -> Iterator[tuple[str, Any]]:
    yield from ((key, value) for key, value in label.named_values.items() if value)


def _data(records: Records) -> Iterator[Table]:
    manifest, rows = records.manifest, records.manifest.rows
    facts: list[tuple[str, ...]] = [
        ("rows read", f"{rows.read:,}"),
        ("rows written", f"{rows.written:,}"),
        ("rows rejected", f"{rows.rejected:,} ({rows.rejected / max(1, rows.read):.2%})"),
        ("duplicate rows", f"{rows.duplicate:,}"),
    ]
    if manifest.sources:
        shown = ", ".join(manifest.sources[:_MOST_SOURCES])
        more = len(manifest.sources) - _MOST_SOURCES
        facts.insert(0, ("sources", shown + (f" and {more:,} more" if more > 0 else "")))
    if manifest.versions:
        made = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
        facts.append(("made with", made))
    yield Table("Rows", ("what", "value"), facts)
    if records.rejected:
        reasons: list[tuple[str, ...]] = [
            (reason.column, f"{reason.rows:,}", reason.reason) for reason in records.rejected[:20]
        ]
        yield Table("Rejected rows", ("column", "rows", "reason"), reasons)


def _how_split(records: Records) -> str:
    split = records.spec.split
    if split.time is not None:
        return f"By the time in {split.time}: the oldest rows train, the newest test."
    if split.column is not None:
        return f"As the column {split.column} says."
    by = split.by or records.spec.key
    return f"By a hash of {by}." if by else "By a hash of the whole row."


def _splits(records: Records) -> Table:
    written = max(1, records.manifest.rows.written)
    rows: list[tuple[str, ...]] = [
        (split, f"{entry.rows:,}", f"{entry.rows / written:.1%}")
        for split, entry in records.manifest.splits.items()
    ]
    return Table("Rows by split", ("split", "rows", "share"), rows)


def _training(run: Run) -> Iterator[tuple[str, str]]:
    training, history = run.spec.training, run.metrics.get("history", [])
    yield "epochs", f"{len(history)}"
    if history:
        kept = history[kept_epoch(history, training.best_by)]["epoch"]
        yield "kept", f"the weights after epoch {kept}, the best by {training.best_by}"
    yield "optimizer", f"{training.optimizer} at {training.learning_rate:g}"
    yield "rows a step", f"{training.batch_size:,}"
    yield "seed", f"{training.seed}"
    if run.spec.labels is not None:
        for split in ("eval", "test"):
            if split in run.metrics:
                loss = number(run.metrics[split]["loss"])
                yield f"loss on {split}, of all labels by their weights", loss
    if "seconds" in run.metrics:
        yield "seconds", f"{run.metrics['seconds']:,.0f}"


def _about_slices(run: Run) -> str:
    if any(evaluation["slices"] for evaluation in run.evaluations.values()):
        return (
            "With 95% intervals; those marked are worse than all rows together by more than chance."
        )
    return "None was evaluated."


def _slices(run: Run) -> Iterator[Table]:
    for split, evaluation in run.evaluations.items():
        metric = main_metric(evaluation["metrics"])
        overall = evaluation["metrics"].get(metric)
        compared = sum(map(len, evaluation["slices"].values()))
        for column, entries in evaluation["slices"].items():
            rows: list[tuple[str, ...]] = [
                (
                    str(entry["value"]),
                    f"{entry['rows']:,}",
                    with_interval(entry.get(metric), entry.get("confidence", {}).get(metric)),
                    "worse" if surely_worse(entry, metric, overall, compared) else "",
                )
                for entry in entries[:_MOST_VALUES]
            ]
            title = f"{column} on {split}, where all rows have {number(overall)}"
            yield Table(title, (column, "rows", metric, ""), rows)
