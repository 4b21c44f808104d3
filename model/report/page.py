"""The page: what was opened, as sections of findings, tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import resources
from typing import Any

from skewless.model.metrics.names import main_metric
from skewless.model.report.curve_charts import curve_charts
from skewless.model.report.data_charts import (
    difference_chart,
    frequent_chart,
    histogram_chart,
    label_chart,
    length_chart,
)
from skewless.model.report.divergence import divergences
from skewless.model.report.drawing import Chart, number
from skewless.model.report.findings import Finding, of_records, of_run
from skewless.model.report.run_charts import (
    history_charts,
    importance_chart,
    slice_chart,
)
from skewless.model.report.sources import Records, Run, classes_of
from skewless.schemas.errors import UsageError

__all__ = ["render"]

_INTERVAL_WIDTH = 4


@dataclass(frozen=True)
class Table:
    """Rows of text under column names; what is not in the first column is a figure."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    sortable: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page, with an anchor."""

    anchor: str
    title: str
    intro: str = ""
    findings: list[Finding] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    parts: list[Section] = field(default_factory=list)


def render(records: Sequence[Records], runs: Sequence[Run]) -> str:
    """Returns the page.

    Raises:
      UsageError: If jinja2 or vl-convert is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise UsageError(
            "report needs jinja2; install it with: pip install 'skewless[report]'"
        ) from error
    sections = [_records(entry, place, len(records)) for place, entry in enumerate(records)]
    sections += [_run(run, place) for place, run in enumerate(runs)]
    if len(runs) > 1:
        sections.append(_comparison(runs))
    todo = [(section, finding) for section in sections for finding in section.findings]
    todo.sort(key=lambda pair: pair[1].level != "act")
    folder = resources.files("skewless.model.report")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    names = dict.fromkeys([run.name for run in runs] or [entry.spec.name for entry in records])
    return page.render(
        title=", ".join(names),
        about=_about(records, runs),
        script=(folder / "page.js").read_text(encoding="utf-8"),
        style=(folder / "page.css").read_text(encoding="utf-8"),
        sections=sections,
        todo=todo,
    )


def _about(records: Sequence[Records], runs: Sequence[Run]) -> str:
    """Says which models and records the page is about, and when it was written."""
    models = dict.fromkeys([run.spec.name for run in runs] + [its.spec.name for its in records])
    what = f"{'Model' if len(models) == 1 else 'Models'} {', '.join(models)}"
    return f"{what}. Written on {datetime.now(timezone.utc):%Y-%m-%d at %H:%M} UTC."


def _records(records: Records, place: int, of: int) -> Section:
    manifest = records.manifest
    rows = manifest.rows
    name = "Data" if of == 1 else f"Data: {records.path.name}"
    intro = (
        f"{rows.read:,} rows read = {rows.written:,} written + {rows.rejected:,} rejected + "
        f"{rows.duplicate:,} duplicate."
    )
    tables = [
        Table(
            "Splits",
            ("split", "rows", "MB", "shards"),
            [
                (split, f"{entry.rows:,}", f"{entry.bytes / 1e6:,.1f}", str(len(entry.shards)))
                for split, entry in manifest.splits.items()
            ],
        )
    ]
    if records.rejected:
        tables.append(
            Table(
                "Rejected rows",
                ("column", "rows", "reason", "the first"),
                [(r.column, f"{r.rows:,}", r.reason, r.example) for r in records.rejected[:20]],
            )
        )
    splits = records.splits
    charts: list[Chart] = []
    parts: list[Section] = []
    compared = {name: splits[name] for name in list(splits)[:2]}
    if splits:
        tables.append(_shares(splits))
        first = next(iter(splits.values()))
        if first.get("label_counts"):
            charts.append(label_chart(compared, classes_of(records), records.label))
        pairs = [(left, right) for left in ("train",) for right in ("eval", "test")]
        for left, right in pairs:
            if left in splits and right in splits:
                found = divergences(splits[left], splits[right], records.label)
                if found:
                    charts.append(difference_chart(found, left, right))
        by_feature = [
            chart
            for feature in first["features"]
            for chart in _feature_charts(compared, feature, records)
        ]
        parts = [Section(f"data{place}-features", "Feature by feature", charts=by_feature)]
    return Section(
        f"data{place}",
        name,
        intro,
        of_records(records),
        tables,
        charts,
        [part for part in parts if part.charts],
    )


def _feature_charts(splits: dict[str, Any], name: str, records: Records) -> list[Chart]:
    entries = [entry["features"].get(name, {}) for entry in splits.values()]
    charts = []
    if all("histogram" in entry for entry in entries):
        charts.append(histogram_chart(splits, name))
    if all("frequent" in entry for entry in entries):
        charts.append(frequent_chart(splits, name))
    if all("lengths" in entry for entry in entries):
        declared: Any = records.spec.features.get(name, records.spec.label)
        length = declared.length if declared is not None and hasattr(declared, "length") else None
        charts.append(length_chart(splits, name, length))
    return charts


def _shares(splits: dict[str, Any]) -> Table:
    """Returns what of each feature is missing, out of vocabulary and cut, split by split."""
    first = next(iter(splits.values()))["features"]
    columns: list[str] = ["feature", "distinct"]
    for what in ("missing", "out of vocabulary", "cut"):
        columns += [f"{what}: {split}" for split in splits]
    rows = []
    for name, entry in first.items():
        row = [name, f"{entry['distinct']:,}"]
        others = [summary["features"].get(name) for summary in splits.values()]
        row += [_percent(o["missing"] / max(1, o["rows"])) if o else "-" for o in others]
        row += [_percent(o["oov_share"]) if o and "oov_share" in o else "-" for o in others]
        row += [
            _percent(o["truncated_share"]) if o and "truncated_share" in o else "-" for o in others
        ]
        rows.append(tuple(row))
    return Table("Features", tuple(columns), rows, sortable=True)


def _run(run: Run, place: int) -> Section:
    metrics = run.metrics
    splits: list[str] = [split for split in ("eval", "test") if split in metrics]
    training = run.spec.training
    intro = (
        f"{len(metrics.get('history', []))} epochs in {metrics['seconds']:,.0f} s, "
        f"{metrics['examples_per_second']:,.0f} examples a second; batches of {training.batch_size}, "
        f"{training.optimizer} at {training.learning_rate:g}."
    )
    classes = classes_of(run.records)
    parts = [_split_part(run, place, split, classes) for split in splits]
    parts += [_slices_part(run, place, split) for split in run.evaluations]
    if not run.evaluations:
        how = (
            f"`skewless evaluate {run.name} --records DIR --slice COLUMN` adds slices to this page."
        )
        parts.append(Section(f"run{place}-slices", "Slices", how))
    return Section(
        f"run{place}",
        f"Run: {run.name}",
        intro,
        of_run(run),
        [_metrics(run, splits)],
        history_charts(metrics.get("history", [])),
        [part for part in parts if part.charts or part.tables or part.intro],
    )


def _split_part(run: Run, place: int, split: str, classes: Sequence[str]) -> Section:
    curves = run.metrics.get("curves", {}).get(split, {})
    tables = []
    if curves.get("matrix"):
        tables.append(_matrix(curves["matrix"], classes))
    if curves.get("confusions"):
        confusions: list[tuple[str, ...]] = [
            (classes[c["class"]], classes[c["taken_for"]], f"{c['rows']:,}")
            for c in curves["confusions"]
        ]
        tables.append(Table("Commonest confusions", ("is", "taken for", "rows"), confusions))
    return Section(
        f"run{place}-{split}",
        f"On {split}",
        tables=tables,
        charts=curve_charts(curves, classes),
    )


def _matrix(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Table:
    """Returns the confusion matrix: a row for each class, with the share that is found."""
    rows = [
        (
            f"is {classes[place]}",
            *(f"{count:,}" for count in counts),
            f"{counts[place] / sum(counts):.1%}" if sum(counts) else "-",
        )
        for place, counts in enumerate(matrix)
    ]
    columns = ("", *(f"taken for {name}" for name in classes[: len(matrix)]), "found")
    return Table("Confusion matrix", columns, rows)


def _slices_part(run: Run, place: int, split: str) -> Section:
    evaluation = run.evaluations[split]
    metric = main_metric(evaluation["metrics"])
    compared = sum(map(len, evaluation["slices"].values()))
    charts = [
        slice_chart(column, entries, metric, evaluation["metrics"][metric], compared)
        for column, entries in evaluation["slices"].items()
        if any(entry.get(metric) is not None for entry in entries)
    ]
    if evaluation.get("importance"):
        charts.insert(0, importance_chart(evaluation["importance"]))
    return Section(
        f"run{place}-slices-{split}",
        f"Slices of {split}" if compared else f"More on {split}",
        f"{metric} with 95% intervals, the worst first." if compared else "",
        charts=charts,
    )


def _metrics(run: Run, splits: Sequence[str]) -> Table:
    names = dict.fromkeys(name for split in splits for name in run.metrics[split])
    rows = [
        (name, *(_with_interval(run, split, name) for split in splits))
        for name in names
        if name != "constant_predictions"
    ]
    return Table("Metrics, with 95% intervals", ("metric", *splits), rows)


def _with_interval(run: Run, split: str, name: str) -> str:
    value = run.metrics[split].get(name)
    interval = run.metrics.get("confidence", {}).get(split, {}).get(name)
    if value is None or interval is None:
        return number(value)
    return (
        f"{number(value)} ({interval[0]:.{_INTERVAL_WIDTH}g} to {interval[1]:.{_INTERVAL_WIDTH}g})"
    )


def _comparison(runs: Sequence[Run]) -> Section:
    everywhere = [name for name in ("test", "eval") if all(name in r.metrics for r in runs)]
    split = everywhere[0] if everywhere else "eval"
    names = dict.fromkeys(name for run in runs for name in run.metrics.get(split, {}))
    shown = [name for name in names if name not in ("constant_predictions", "rows")]
    rows = [
        (run.name, *(_with_interval(run, split, name) for name in shown))
        for run in runs
        if split in run.metrics
    ]
    table = Table(f"Metrics on {split}, with 95% intervals", ("run", *shown), rows)
    told = "Intervals that do not overlap differ by more than chance."
    return Section("comparison", "The runs side by side", told, tables=[table])


def _percent(share: float) -> str:
    return "0" if share == 0 else "<0.1%" if share < 0.001 else f"{share:.1%}"
