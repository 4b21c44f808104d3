"""Charts of an evaluation's curves: ROC, precision and recall, calibration, scores, errors, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skewless.model.report.drawing import FIRST, Chart, by_colour, draw, number

__all__ = ["curve_charts"]

_MOST_CLASSES = 15
_DIAGONAL = {
    "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
    "mark": {"type": "line", "color": "var(--line)", "strokeDash": [4, 4]},
}


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
            **by_colour("class", kinds),
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
    ranked = sorted(entries, key=lambda entry: entry["recall"])[:_MOST_CLASSES]
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
