"""The part of a report on records."""

from __future__ import annotations

from typing import Any

from skewless.model.report.data_charts import (
    difference_chart,
    frequent_chart,
    histogram_chart,
    label_chart,
    length_chart,
)
from skewless.model.report.divergence import divergences
from skewless.model.report.drawing import Chart
from skewless.model.report.findings import of_records
from skewless.model.report.sections import Section, Table
from skewless.model.report.sources import Records, classes_of

__all__ = ["label_charts", "records_section"]


def records_section(records: Records, place: int, of: int) -> Section:
    """Returns the section on records: rows, splits, features, and how far the splits are apart."""
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
        charts += label_charts(records)
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


def label_charts(records: Records) -> list[Chart]:
    """Draws the rows of each class, in the first two splits, of each label that has classes."""
    charts = []
    for own in records.by_label:
        compared = dict(list(own.splits.items())[:2])
        if compared and next(iter(compared.values())).get("label_counts"):
            charts.append(label_chart(compared, classes_of(own), own.label))
    return charts


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


def _percent(share: float) -> str:
    return "0" if share == 0 else "<0.1%" if share < 0.001 else f"{share:.1%}"
