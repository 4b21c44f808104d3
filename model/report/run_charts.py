"""Charts of what came out: training, importance, slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from skewless.model.metrics.names import LOWER_IS_BETTER
from skewless.model.report.drawing import FIRST, WARNING, Chart, by_colour, draw, number

__all__ = [
    "history_charts",
    "importance_chart",
    "slice_chart",
    "surely_worse",
]

_MOST_SLICES = 15
_CHANCE, _WORSE = "within chance", "surely worse"


def history_charts(history: Sequence[Mapping[str, float]], error_unit: str = "") -> list[Chart]:
    """Draws the loss, and the first other metric, by epoch.

    Args:
      history: Figures of each epoch.
      error_unit: Of `rmse` and `mae`.
    """
    if not history:
        return []
    names = [name for name in history[0] if name != "epoch" and not name.startswith("val_")]
    charts = []
    for name in sorted(names, key=lambda name: name != "loss")[:2]:
        values = []
        for entry in history:
            for kind, key in (("train", name), ("eval", f"val_{name}")):
                if key in entry:
                    values.append({"epoch": entry["epoch"], name: entry[key], "split": kind})
        held = [entry for entry in history if f"val_{name}" in entry]
        summary = f"Over {len(history)} epochs"
        if held:
            pick = min if name in LOWER_IS_BETTER else max
            best = pick(held, key=lambda entry: entry[f"val_{name}"])
            summary += (
                f"; the best on eval is {best[f'val_{name}']:.4g} after epoch {best['epoch']}"
            )
        declared = {
            "data": {"values": values},
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {
                    "field": "epoch",
                    "type": "quantitative",
                    "axis": {"tickMinStep": 1, "format": "d", "grid": False},
                    "scale": {"nice": False},
                },
                "y": {"field": name, "type": "quantitative", "scale": {"zero": False}},
                **by_colour("split", ["train", "eval"]),
                "strokeDash": {"field": "split", "sort": ["train", "eval"], "legend": None},
            },
        }
        rows = [(entry["epoch"], entry[name], entry.get(f"val_{name}")) for entry in history]
        table = [(epoch, one, "-" if two is None else two) for epoch, one, two in rows]
        unit = f", {error_unit}" if error_unit and name in ("rmse", "mae") else ""
        title = f"{name.capitalize()} by epoch{unit}"
        charts.append(draw(title, f"{summary}.", declared, ("epoch", "train", "eval"), table))
    return charts


def importance_chart(found: Mapping[str, Any]) -> Chart:
    """Draws how much the metric worsens when each feature's rows are shuffled, the most first."""
    metric, shown = found["metric"], found["features"][:20]
    values = [{**entry, "none": 0} for entry in shown]
    order = [entry["feature"] for entry in shown]
    y = {"field": "feature", "sort": order, "title": None}
    x = {"type": "quantitative", "title": f"{metric} worse by"}
    declared = {
        "data": {"values": values},
        "layer": [
            {"mark": "bar", "encoding": {"y": y, "x": {"field": "worse", **x}}},
            {
                "mark": {"type": "rule", "size": 2, "color": "var(--ink)"},
                "encoding": {"y": y, "x": {"field": "low", **x}, "x2": {"field": "high"}},
            },
        ],
    }
    first = shown[0]
    summary = (
        f"Most on {first['feature']}: with its values shuffled among {found['rows']:,} rows, "
        f"{metric} is worse by {first['worse']:.3g}. Features that say the same hide each other."
    )
    rows = [(e["feature"], e["worse"], f"{number(e['low'])} to {number(e['high'])}") for e in shown]
    return draw(
        "What the model leans on",
        summary,
        declared,
        ("feature", f"{metric} worse by", "of three shuffles"),
        rows,
        height=max(90, 22 * len(shown) + 50),
    )


def surely_worse(entry: Mapping[str, Any], metric: str, overall: float, compared: int) -> bool:
    """Whether a slice is worse than all rows by more than the worst of so many is by chance.

    One in twenty 95% intervals misses; Bonferroni's wider ones miss once in twenty evaluations.
    """
    interval = entry.get("confidence", {}).get(metric)
    if interval is None or entry.get(metric) is None or interval[0] == interval[1]:
        return False
    normal = NormalDist()
    wider = normal.inv_cdf(1 - 0.025 / max(1, compared)) / normal.inv_cdf(0.975)
    if metric in LOWER_IS_BETTER:
        return bool(entry[metric] - wider * (entry[metric] - interval[0]) > overall)
    return bool(entry[metric] + wider * (interval[1] - entry[metric]) < overall)


def slice_chart(
    column: str, slices: Sequence[Mapping[str, Any]], metric: str, overall: float, compared: int
) -> Chart:
    """Draws a metric by the values of a column, the worst first, with 95% intervals.

    Args:
      column: The column.
      slices: The metrics of its values.
      metric: The one to draw.
      overall: Its value over all rows.
      compared: How many slices there are to be the worst of.
    """
    values = _ranked_slices(slices, metric, overall, compared)
    worse = [entry["value"] for entry in values if entry["kind"] == _WORSE]
    summary = f"Over all rows {overall:.4g}. " + (
        f"Surely worse: {', '.join(worse)}." if worse else "No value is worse by more than chance."
    )
    rows = [
        (v["value"], v["rows"], v[metric], f"{v['low']:.4g} to {v['high']:.4g}") for v in values
    ]
    return draw(
        f"By {column}",
        summary,
        {"data": {"values": values}, "layer": _slice_layers(values, metric, overall)},
        (column, "rows", metric, "95% interval"),
        rows,
        height=max(100, 22 * len(values) + 75),
    )


def _ranked_slices(
    slices: Sequence[Mapping[str, Any]], metric: str, overall: float, compared: int
) -> list[dict[str, Any]]:
    """Returns what is drawn of each slice that has the metric, the worst first."""
    known = [entry for entry in slices if entry.get(metric) is not None]
    lower = metric in LOWER_IS_BETTER
    values = []
    for entry in sorted(known, key=lambda entry: entry[metric], reverse=lower)[:_MOST_SLICES]:
        low, high = entry.get("confidence", {}).get(metric) or (entry[metric], entry[metric])
        kind = _WORSE if surely_worse(entry, metric, overall, compared) else _CHANCE
        drawn = {"value": entry["value"], "rows": entry["rows"], "kind": kind}
        values.append({**drawn, metric: entry[metric], "low": low, "high": high})
    return values


def _slice_layers(
    values: Sequence[Mapping[str, Any]], metric: str, overall: float
) -> list[dict[str, Any]]:
    """Declares a line for all rows; an interval and a point for each slice."""
    kinds = [_CHANCE, _WORSE]
    y = {"field": "value", "sort": [entry["value"] for entry in values], "title": None}
    x = {"type": "quantitative", "title": metric, "scale": {"zero": False}}
    by_kind = by_colour("kind", kinds, (FIRST, WARNING))
    shapes = {"domain": kinds, "range": ["circle", "triangle-left"]}
    return [
        {
            "mark": {"type": "rule", "strokeDash": [4, 4]},
            "encoding": {"x": {"datum": overall, **x}},
        },
        {
            "mark": {"type": "rule", "size": 2},
            "encoding": {"y": y, "x": {"field": "low", **x}, "x2": {"field": "high"}, **by_kind},
        },
        {
            "mark": {"type": "point", "size": 70},
            "encoding": {
                "y": y,
                "x": {"field": metric, **x},
                **by_kind,
                "shape": {"field": "kind", "scale": shapes},
            },
        },
    ]
