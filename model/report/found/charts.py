"""Charts and tables of what two towers find, beside a list of what is most popular."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skewless.model.report.drawing import Chart, by_colour, draw
from skewless.model.report.sections import Table

__all__ = ["examples_table", "found_charts"]

_MODEL, _POPULAR = "the model", "the most popular"
_MET, _LISTED = "met", "listed"
_NEVER = "in no training row"


def found_charts(curves: Mapping[str, Any]) -> list[Chart]:
    """Draws how much lists hold by their length, and how popular it is; nothing of other models."""
    if "popularity" not in curves:
        return []
    return [_recall(curves["recall"]), _popularity(curves["popularity"])]


def examples_table(curves: Mapping[str, Any]) -> list[Table]:
    """Returns a few queries in words, if there are any."""
    examples = curves.get("examples", [])
    if not examples:
        return []
    metric = next(name for name in examples[0] if name.startswith("ndcg@"))
    rows: list[tuple[str, ...]] = [
        (
            ", ".join(f"{name} {text}" for name, text in example["query"].items()),
            f"{example[metric]:.2f}",
            ", ".join(f"{rank:,}. {name}" for name, rank in example["met"])
            + (f" and {example['met_more']:,} more" if example["met_more"] else ""),
            ", ".join(f"{name} ✓" if met else name for name, met in example["found"]),
        )
        for example in examples
    ]
    title = "A few queries, from among the worst to among the best"
    columns = ("query", metric, "what was met, by its place in the list", "found first (✓ was met)")
    return [Table(title, columns, rows)]


def _recall(recall: Mapping[str, Sequence[Sequence[float]]]) -> Chart:
    names = {"model": _MODEL, "popular": _POPULAR}
    values = [
        {"length": length, "recall": value, "list": names[kind]}
        for kind, points in recall.items()
        for length, value in points
    ]
    declared = {
        "data": {"values": values},
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {
                "field": "length",
                "type": "quantitative",
                "title": "length of the list",
                "scale": {"type": "log"},
                "axis": {
                    "format": "d",
                    "grid": False,
                    "values": [v for v, _ in recall["model"] if str(v)[0] == "1"],
                },
            },
            "y": {"field": "recall", "type": "quantitative", "scale": {"domain": [0, 1]}},
            **by_colour("list", [_MODEL, _POPULAR]),
            "strokeDash": {"field": "list", "sort": [_MODEL, _POPULAR], "legend": None},
        },
    }
    rows = [
        (int(length), ours, theirs)
        for (length, ours), (_, theirs) in zip(recall["model"], recall["popular"], strict=True)
    ]
    length, ours, theirs = rows[len(rows) // 2]
    summary = (
        f"The share of what was met that is listed: of {length} listed {ours:.0%}, of the {length} most "
        f"popular candidates {theirs:.0%}."
    )
    return draw("Found by length of the list", summary, declared, ("length", *names.values()), rows)


def _popularity(groups: Sequence[Mapping[str, Any]]) -> Chart:
    names = [
        f"{group['candidates']:,} in {group['trained']:.0%} of rows"
        if group["trained"]
        else f"{group['candidates']:,} {_NEVER}"
        for group in groups
    ]
    values = [
        {"group": name, "share": group[key], "of": told, "order": place}
        for place, (name, group) in enumerate(zip(names, groups, strict=True))
        for key, told in (("met", _MET), ("listed", _LISTED))
    ]
    declared = {
        "data": {"values": values},
        "mark": "bar",
        "encoding": {
            "y": {"field": "group", "type": "nominal", "sort": names, "title": None},
            "yOffset": {"field": "of", "sort": [_MET, _LISTED]},
            "x": {
                "field": "share",
                "type": "quantitative",
                "title": "share",
                "axis": {"format": ".0%", "tickCount": 5},
            },
            **by_colour("of", [_MET, _LISTED]),
        },
    }
    first = groups[0]
    summary = (
        f"Candidates by how many training rows they are in: the {first['candidates']:,} most popular are "
        f"{first['met']:.0%} of what was met and {first['listed']:.0%} of what is listed first."
    )
    rows = [
        (name, group["met"], group["listed"]) for name, group in zip(names, groups, strict=True)
    ]
    return draw(
        "How popular what is found is",
        summary,
        declared,
        ("candidates", _MET, _LISTED),
        rows,
        height=max(120, 36 * len(groups) + 60),
    )
