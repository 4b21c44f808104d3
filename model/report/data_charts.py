"""Charts of what went in: values, lengths, labels, differences between splits.

The training split is bars, the split it is compared with dots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skewless.model.report.divergence import Divergence
from skewless.model.report.drawing import FIRST, SECOND, WARNING, Chart, day, draw, number

__all__ = ["difference_chart", "frequent_chart", "histogram_chart", "label_chart", "length_chart"]

_SHOWN = 12
_PERCENT = {"format": "~%"}
Splits = Mapping[str, Mapping[str, Any]]


def histogram_chart(splits: Splits, name: str) -> Chart:
    """Draws a numeric feature's histogram; bins are equally wide on paper, whatever their range."""
    found = {split: entry["features"][name]["histogram"] for split, entry in splits.items()}
    first = next(iter(splits.values()))["features"][name]
    quantiles = first["quantiles"]
    # Of times the figures are days.
    what, say = ("day", day) if "earliest" in first else ("value", number)
    summary = (
        f"From {say(first['min'])} to {say(first['max'])}, median "
        f"{say(quantiles['0.5'])}; half of the values between {say(quantiles['0.25'])} and "
        f"{say(quantiles['0.75'])}."
    )
    edges = next(iter(found.values()))["edges"]
    counts = {split: histogram["counts"] for split, histogram in found.items()}
    return _Bins(what, edges, counts, say).drawn(f"{name}: {what}s", summary)


def length_chart(splits: Splits, name: str, length: int | None) -> Chart:
    """Draws tokens or values a row, with the length that rows are cut at."""
    found = {split: entry["features"][name]["lengths"] for split, entry in splits.items()}
    first = next(iter(splits.values()))["features"][name]
    edges = next(iter(found.values()))["edges"]
    cut = first.get("truncated_share", 0.0)
    quantiles = first["length_quantiles"]
    summary = (
        f"Median {quantiles['0.5']}, 95% up to {quantiles['0.95']}. "
        f"Cut at {length}: {cut:.1%} of rows lose something."
    )
    counts = {split: histogram["counts"] for split, histogram in found.items()}
    rules = []
    if length is not None and edges[0] <= length + 1 < edges[-1]:
        rules = _rule((length + 1 - edges[0]) / (edges[1] - edges[0]), f"cut at {length}")
    return _Bins("length", edges, counts).drawn(f"{name}: length", summary, rules)


def frequent_chart(splits: Splits, name: str) -> Chart:
    """Draws the most frequent values, and how many are none of them."""
    found = {split: entry["features"][name] for split, entry in splits.items()}
    first = next(iter(found.values()))
    rows: list[tuple[str, str, float]] = []
    for split, entry in found.items():
        shown = entry["frequent"][:_SHOWN]
        rows += [(split, item["value"], item["count"] / _entries(entry)) for item in shown]
    count = len(first["frequent"][:_SHOWN])
    held = sum(item["count"] for item in first["frequent"][:_SHOWN]) / _entries(first)
    outside = first["out_of_vocabulary"] / _entries(first)
    summary = (
        f"{first['distinct']:,} different values; the {count} shown are {held:.1%} of all, "
        f"{outside:.1%} are out of vocabulary."
    )
    return _ranked(f"{name}: most frequent", summary, rows, "value")


def _entries(entry: Mapping[str, Any]) -> int:
    counted = sum(item["count"] for item in entry["frequent"])
    return max(1, counted + int(entry["others"]) + int(entry["out_of_vocabulary"]))


def label_chart(splits: Splits, classes: Sequence[str], name: str) -> Chart:
    """Draws the share of each class of the label, called `name`."""
    rows: list[tuple[str, str, float]] = []
    first = next(iter(splits.values()))["label_counts"]
    order = sorted(range(len(first)), key=lambda place: -first[place])[:_SHOWN]
    for split, entry in splits.items():
        counts = entry["label_counts"]
        total = max(1, sum(counts))
        rows += [
            (split, classes[place], counts[place] / total) for place in order if place < len(counts)
        ]
    parts = [f"{classes[place]} {first[place] / max(1, sum(first)):.1%}" for place in order[:4]]
    more = f" The {len(order)} largest of {len(first)} classes." if len(first) > len(order) else ""
    return _ranked(name, f"In the training split: {', '.join(parts)}.{more}", rows, "class")


def difference_chart(found: Sequence[Divergence], left: str, right: str) -> Chart:
    """Draws how far two splits are apart in each feature, with what chance would make of it."""
    shown = found[:20]
    values = [
        {
            "feature": entry.name,
            "distance": entry.distance,
            "limit": entry.limit,
            "kind": "more than chance" if entry.surprising else "within chance",
        }
        for entry in shown
    ]
    surprising = [entry.name for entry in shown if entry.surprising]
    summary = (
        f"More than chance in {', '.join(surprising)}."
        if surprising
        else "No feature differs by more than chance."
    )
    order = [entry.name for entry in shown]
    declared = {
        "data": {"values": values},
        "encoding": {"y": {"field": "feature", "sort": order, "title": None}},
        "layer": [
            {
                "mark": {"type": "bar"},
                "encoding": {
                    "x": {
                        "field": "distance",
                        "type": "quantitative",
                        "title": "distance",
                        "axis": {"tickCount": 4, "format": "~g"},
                    },
                    "color": {
                        "field": "kind",
                        # Beside each other they are as wide as the drawing, wider in some fonts.
                        "legend": {"columns": 1},
                        "scale": {
                            "domain": ["within chance", "more than chance"],
                            "range": [FIRST, WARNING],
                        },
                    },
                },
            },
            {
                "mark": {"type": "tick", "color": "var(--ink)", "thickness": 2},
                "encoding": {"x": {"field": "limit", "type": "quantitative"}},
            },
        ],
    }
    rows = [(entry.name, entry.distance, entry.by_chance, entry.limit) for entry in shown]
    return draw(
        f"{left} and {right}: Jensen-Shannon distance; more than chance beyond the tick",
        summary,
        declared,
        ("feature", "distance", "by chance", "limit"),
        rows,
        height=max(90, 22 * len(shown) + 75),
    )


@dataclass(frozen=True)
class _Bins:
    """Rows by bins of a number.

    Attributes:
      what: What is counted, in a word.
      edges: [bins + 1] of them, rising.
      counts: [bins] rows of each, by split.
      say: Writes an edge.
    """

    what: str
    edges: Sequence[float]
    counts: Mapping[str, Sequence[int]]
    say: Callable[[float], str] = number

    def range(self, place: int) -> str:
        """Returns where the bin at `place` begins and ends, in words."""
        return f"{self.say(self.edges[place])} to {self.say(self.edges[place + 1])}"

    def drawn(self, title: str, summary: str, rules: Sequence[Mapping[str, Any]] = ()) -> Chart:
        """Draws bars of the first split, dots of the second, and layers over both."""
        declared = {"data": {"values": self._values()}, "layer": [*self._layers(), *rules]}
        rows = [
            (self.range(place), *(its[place] for its in self.counts.values()))
            for place in range(len(self.edges) - 1)
        ]
        columns = (self.what, *(f"{split} rows" for split in self.counts))
        return draw(title, summary, declared, columns, rows)

    def _values(self) -> list[dict[str, Any]]:
        return [
            {
                "split": split,
                "from": place,
                "to": place + 1,
                "middle": place + 0.5,
                "share": count / max(1, sum(its)),
                self.what: self.range(place),
            }
            for split, its in self.counts.items()
            for place, count in enumerate(its)
        ]

    def _layers(self) -> list[dict[str, Any]]:
        x = self._axis()
        y = {"field": "share", "type": "quantitative", "title": "share of rows", "axis": _PERCENT}
        told = [
            {"field": self.what, "type": "nominal"},
            {"field": "share", "type": "quantitative", "format": ".1%"},
        ]
        bars = {"x": {**x, "bin": "binned"}, "x2": {"field": "to"}}
        dots = {"x": {**x, "field": "middle"}}
        marks = (
            ({"type": "bar", "binSpacing": 1, "color": FIRST}, bars),
            ({"type": "point", "color": SECOND}, dots),
        )
        return [
            {
                "transform": [{"filter": {"field": "split", "equal": split}}],
                "mark": mark,
                "encoding": {**places, "y": y, "tooltip": told},
            }
            for split, (mark, places) in zip(self.counts, marks, strict=False)
        ]

    def _axis(self) -> dict[str, Any]:
        """Declares an axis of bins as wide as each other, whatever their edges are."""
        bars = len(self.edges) - 1
        step = max(1, -(-bars // 4))
        ticks = list(range(0, bars + 1, step))
        texts = ", ".join(f"'{self.say(self.edges[place])}'" for place in ticks)
        return {
            "field": "from",
            "type": "quantitative",
            "title": self.what,
            "scale": {"domain": [0, bars], "nice": False},
            "axis": {
                "values": ticks,
                "labelExpr": f"[{texts}][round(datum.value / {step})]",
                "grid": False,
            },
        }


def _rule(place: float, text: str) -> list[dict[str, Any]]:
    """Declares the layers of a line across bins, with what it means above it."""
    once: dict[str, Any] = {"values": [{}]}
    at = {"datum": place, "type": "quantitative"}
    line = {"type": "rule", "color": WARNING, "size": 2}
    label = {"type": "text", "text": text, "baseline": "bottom", "dy": -3}
    return [
        {"data": once, "mark": line, "encoding": {"x": at}},
        {"data": once, "mark": label, "encoding": {"x": at, "y": {"value": 0}}},
    ]


def _ranked(title: str, summary: str, rows: Sequence[tuple[str, str, float]], what: str) -> Chart:
    """Draws shares by name: bars of the first split, dots of the second."""
    splits = list(dict.fromkeys(split for split, _, _ in rows))
    names = list(dict.fromkeys(name for _, name, _ in rows))
    values = [{"split": split, what: name, "share": share} for split, name, share in rows]
    x = {"field": "share", "type": "quantitative", "title": "share", "axis": _PERCENT}
    layers: list[dict[str, Any]] = []
    marks = ({"type": "bar", "color": FIRST}, {"type": "point", "color": SECOND})
    for split, mark in zip(splits, marks, strict=False):
        layers.append(
            {
                "transform": [{"filter": {"field": "split", "equal": split}}],
                "mark": mark,
                "encoding": {"x": x},
            }
        )
    declared = {
        "data": {"values": values},
        "encoding": {"y": {"field": what, "type": "nominal", "sort": names, "title": None}},
        "layer": layers,
    }
    by_name = {name: [share for _, other, share in rows if other == name] for name in names}
    table = [(name, *(f"{share:.2%}" for share in shares)) for name, shares in by_name.items()]
    return draw(
        title, summary, declared, (what, *splits), table, height=max(90, 20 * len(names) + 45)
    )
