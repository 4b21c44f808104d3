"""The parts of a report on runs, and on several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skewless.model.metrics.names import main_metric
from skewless.model.report.curve_charts import curve_charts
from skewless.model.report.drawing import number
from skewless.model.report.findings import of_run
from skewless.model.report.found.charts import examples_table, found_charts
from skewless.model.report.run_charts import (
    history_charts,
    importance_chart,
    slice_chart,
)
from skewless.model.report.sections import Section, Table
from skewless.model.report.sources import Run, classes_of

__all__ = ["comparison_section", "metrics_table", "run_section", "with_interval"]

_INTERVAL_WIDTH = 4


def run_section(run: Run, place: int) -> Section:
    """Returns the section on a run: metrics, history, curves and slices."""
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
        [metrics_table(run, splits)],
        history_charts(run.history, run.error_unit),
        [part for part in parts if part.charts or part.tables or part.intro],
    )


def _split_part(run: Run, place: int, split: str, classes: Sequence[str]) -> Section:
    curves = run.metrics.get("curves", {}).get(split, {})
    tables = examples_table(curves)
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
        charts=[*curve_charts(curves, classes), *found_charts(curves)],
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


def metrics_table(run: Run, splits: Sequence[str]) -> Table:
    """Returns all metrics by split, with intervals where there are any; of two towers popular lists', too."""
    names = dict.fromkeys(name for split in splits for name in run.metrics[split])
    columns = {split: (run.metrics[split], _intervals(run, split)) for split in splits}
    for split in splits:
        popular = run.metrics.get("curves", {}).get(split, {}).get("popular")
        if popular:
            columns[f"{split}: the most popular"] = popular["metrics"], popular["confidence"]
    rows = [
        (name, *(with_interval(of.get(name), known.get(name)) for of, known in columns.values()))
        for name in names
        if name != "constant_predictions"
    ]
    return Table("Metrics, with 95% intervals", ("metric", *columns), rows)


def _with_interval(run: Run, split: str, name: str) -> str:
    return with_interval(run.metrics[split].get(name), _intervals(run, split).get(name))


def _intervals(run: Run, split: str) -> dict[str, Any]:
    found: dict[str, Any] = run.metrics.get("confidence", {}).get(split, {})
    return found


def with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    """Returns a figure as text, with its interval if it has one."""
    if value is None or interval is None:
        return number(value)
    return (
        f"{number(value)} ({interval[0]:.{_INTERVAL_WIDTH}g} to {interval[1]:.{_INTERVAL_WIDTH}g})"
    )


def comparison_section(runs: Sequence[Run], place: int) -> Section:
    """Returns the section that sets the metrics of runs side by side, of one label each."""
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
    label = f": {runs[0].label}" if runs[0].label else ""
    return Section(f"comparison{place}", f"The runs side by side{label}", told, tables=[table])
