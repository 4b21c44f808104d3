"""Charts of what came out: training, calibration, errors, slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from skewless.model.metrics.names import LOWER_IS_BETTER
from skewless.model.report.drawing import FIRST, SECOND, WARNING, Chart, draw, number

__all__ = [
    "curve_charts",
    "history_charts",
    "importance_chart",
    "slice_chart",
    "surely_worse",
]

_DIAGONAL = {
    "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
    "mark": {"type": "line", "color": "var(--line)", "strokeDash": [4, 4]},
}
_MOST_SLICES = 15
_CHANCE, _WORSE = "within chance", "surely worse"


def history_charts(history: Sequence[Mapping[str, float]]) -> list[Chart]:
    """Draws the loss, and the first other metric, by epoch."""
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
                **_by_colour("split", ["train", "eval"]),
                "strokeDash": {"field": "split", "sort": ["train", "eval"], "legend": None},
            },
        }
        rows = [(entry["epoch"], entry[name], entry.get(f"val_{name}")) for entry in history]
        table = [(epoch, one, "-" if two is None else two) for epoch, one, two in rows]
        title = f"{name.capitalize()} by epoch"
        charts.append(draw(title, f"{summary}.", declared, ("epoch", "train", "eval"), table))
    return charts


def curve_charts(curves: Mapping[str, Any], classes: Sequence[str]) -> list[Chart]:
    """Draws whichever curves an evaluation holds."""
    charts = []
    if "roc" in curves:
        summary = "How many of the positives are found, by how many negatives are taken for one."
        charts.append(
            _line("ROC", summary, curves["roc"], "false positive rate", "true positive rate", True)
        )
    if "precision_recall" in curves:
        summary = "How many of those called positive are, by how many positives are found."
        charts.append(
            _line(
                "Precision and recall", summary, curves["precision_recall"], "recall", "precision"
            )
        )
    if "calibration" in curves:
        charts.append(_calibration(curves["calibration"], "errors" in curves))
    if "scores" in curves:
        charts.append(_scores(curves["scores"]))
    if "errors" in curves:
        charts.append(_errors(curves["errors"]))
    if "classes" in curves:
        charts.append(_classes(curves["classes"], classes))
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
    by_kind = _by_colour("kind", kinds, (FIRST, WARNING))
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


def _line(
    title: str,
    summary: str,
    points: Sequence[Sequence[float]],
    x: str,
    y: str,
    diagonal: bool = False,
) -> Chart:
    unit: dict[str, Any] = {"scale": {"domain": [0, 1]}, "axis": {"tickCount": 5}}
    declared = {
        "layer": [
            *([_unit(_DIAGONAL, x, y)] if diagonal else []),
            {
                "data": {"values": [{"x": one, "y": two} for one, two in points]},
                "mark": {"type": "line", "color": FIRST},
                "encoding": {
                    "x": {"field": "x", "type": "quantitative", "title": x, **unit},
                    "y": {"field": "y", "type": "quantitative", "title": y, **unit},
                    "order": {"field": "x"},
                },
            },
        ]
    }
    some = points[:: max(1, len(points) // 12)]
    return draw(title, summary, declared, (x, y), some, height=240)


def _calibration(bins: Sequence[Mapping[str, Any]], own_unit: bool) -> Chart:
    worst = max(bins, key=lambda entry: abs(entry["observed"] - entry["predicted"]))
    summary = (
        f"Each dot is a tenth of the rows. Furthest from the diagonal: predicted "
        f"{worst['predicted']:.3g}, came {worst['observed']:.3g}."
    )
    low, high = 0.0, 1.0
    if own_unit:
        edges = [entry[key] for entry in bins for key in ("predicted", "observed")]
        low, high = min(edges), max(edges)
    diagonal = {**_DIAGONAL, "data": {"values": [{"x": low, "y": low}, {"x": high, "y": high}]}}
    declared = {
        "layer": [
            _unit(diagonal, "predicted", "came", None),
            {
                "data": {"values": list(bins)},
                "mark": {"type": "line", "point": {"size": 50}, "color": FIRST},
                "encoding": {
                    "x": {"field": "predicted", "type": "quantitative", "axis": {"tickCount": 5}},
                    "y": {"field": "observed", "type": "quantitative", "title": "came"},
                },
            },
        ]
    }
    rows = [(entry["predicted"], entry["observed"], entry["rows"]) for entry in bins]
    return draw("Calibration", summary, declared, ("predicted", "came", "rows"), rows, height=240)


def _scores(scores: Mapping[str, Any]) -> Chart:
    edges, kinds = scores["edges"], ("negative", "positive")
    values, rows = [], []
    for place in range(len(edges) - 1):
        for kind in kinds:
            share = scores[kind][place] / max(1, sum(scores[kind]))
            values.append(
                {"score": (edges[place] + edges[place + 1]) / 2, "share": share, "class": kind}
            )
        named = f"{edges[place]:.2f} to {edges[place + 1]:.2f}"
        rows.append((named, scores["negative"][place], scores["positive"][place]))
    declared = {
        "data": {"values": values},
        "mark": {"type": "area", "interpolate": "step", "line": True, "fillOpacity": 0.25},
        "encoding": {
            "x": {"field": "score", "type": "quantitative", "scale": {"domain": [0, 1]}},
            "y": {
                "field": "share",
                "type": "quantitative",
                "stack": None,
                "title": "share of the class",
                "axis": {"format": "~%"},
            },
            **_by_colour("class", kinds),
        },
    }
    summary = "The further the two are apart, the better the classes are told."
    return draw("Scores by class", summary, declared, ("score", *kinds), rows, height=240)


def _errors(errors: Mapping[str, Any]) -> Chart:
    edges, counts = errors["edges"], errors["counts"]
    values = [
        {"from": edges[place], "to": edges[place + 1], "rows": count}
        for place, count in enumerate(counts)
    ]
    declared = {
        "data": {"values": values},
        "mark": {"type": "bar", "binSpacing": 1},
        "encoding": {
            "x": {
                "field": "from",
                "bin": "binned",
                "type": "quantitative",
                "title": "predicted less true",
            },
            "x2": {"field": "to"},
            "y": {"field": "rows", "type": "quantitative"},
        },
    }
    rows = [(f"{number(v['from'])} to {number(v['to'])}", v["rows"]) for v in values]
    summary = "Predicted less true, in the label's own unit; the outer 2% are in the end bins."
    return draw("Errors", summary, declared, ("error", "rows"), rows, height=240)


def _classes(entries: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Chart:
    ranked = sorted(entries, key=lambda entry: entry["recall"])[:_MOST_SLICES]
    values = [
        {"class": classes[entry["class"]], "recall": entry["recall"], "rows": entry["rows"]}
        for entry in ranked
    ]
    declared = {
        "data": {"values": values},
        "mark": "bar",
        "encoding": {
            "y": {"field": "class", "sort": [value["class"] for value in values], "title": None},
            "x": {
                "field": "recall",
                "type": "quantitative",
                "scale": {"domain": [0, 1]},
                "axis": {"format": "~%"},
            },
        },
    }
    rows = [(value["class"], value["recall"], value["rows"]) for value in values]
    summary = f"Found least: {values[0]['class']}, {values[0]['recall']:.1%} of its rows."
    return draw(
        "Recall by class, the worst first",
        summary,
        declared,
        ("class", "recall", "rows"),
        rows,
        height=max(100, 22 * len(values) + 50),
    )


def _unit(layer: Mapping[str, Any], x: str, y: str, domain: Any = (0, 1)) -> dict[str, Any]:
    scale = {} if domain is None else {"scale": {"domain": list(domain)}, "axis": {"tickCount": 5}}
    return {
        **layer,
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "title": x, **scale},
            "y": {"field": "y", "type": "quantitative", "title": y, **scale},
        },
    }


def _by_colour(
    field: str, domain: Sequence[str], colours: Sequence[str] = (FIRST, SECOND)
) -> dict[str, Any]:
    return {
        "color": {
            "field": field,
            "type": "nominal",
            "scale": {"domain": list(domain), "range": list(colours)},
        }
    }
