"""The part of a report on an index that `skewless index` left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skewless.model.report.drawing import number
from skewless.model.report.findings import Finding
from skewless.model.report.sections import Section, Table
from skewless.schemas.errors import DatasetMismatchError
from skewless.schemas.records.layout import INDEX_SUMMARY

__all__ = ["index_section", "parted"]

_LITTLE_RECALL = 0.95


def parted(paths: Sequence[str | Path]) -> tuple[list[Path], list[Path]]:
    """Returns the directories that are indexes, and the others."""
    indexes = [path for path in map(Path, paths) if (path / INDEX_SUMMARY).is_file()]
    return indexes, [path for path in map(Path, paths) if path not in indexes]


def index_section(path: Path, place: int) -> Section:
    """Returns what an index holds, how much it finds and how fast.

    Raises:
      DatasetMismatchError: If what it says of itself is damaged.
    """
    try:
        summary: dict[str, Any] = json.loads((path / INDEX_SUMMARY).read_text(encoding="utf-8"))
        rows, took = summary["rows"], summary["p50_milliseconds"]
        (measured_on,) = summary["measured_on"].items()
        recall = sorted((int(cutoff), share) for cutoff, share in summary["recall"].items())
    except (OSError, ValueError, KeyError) as error:
        raise DatasetMismatchError(
            f"{path / INDEX_SUMMARY}: cannot be read: {error!r}; make it again with `skewless index`"
        ) from error
    facts: list[tuple[str, ...]] = [
        ("candidates", f"{rows['written']:,}"),
        ("rows read, rejected, duplicate", " / ".join(
            f"{rows[name]:,}" for name in ("read", "rejected", "duplicate")
        )),
        ("IDs are of the column", str(summary["id"])),
        ("width of vectors", f"{summary['width']:,}"),
        ("search width", f"{summary['search_width']:,}"),
        ("measured on", f"{measured_on[1]:,} {measured_on[0]}"),
        ("a query by the index, ms at p50", number(took["index"])),
        ("a query by brute force, ms at p50", number(took["brute_force"])),
    ]  # fmt: skip
    shares: list[tuple[str, ...]] = [(f"{cutoff:,}", number(share)) for cutoff, share in recall]
    least = min(share for _, share in recall)
    findings = []
    if least < _LITTLE_RECALL:
        text = (
            f"finds {least:.1%} of what brute force does; index again with a wider --search-width"
        )
        findings.append(Finding("act", "index", text))
    return Section(
        f"index{place}",
        f"Index: {path.resolve().name}",
        "Recall is the share of what brute force finds that the index finds.",
        findings,
        [
            Table("Index", ("what", "value"), facts),
            Table("Recall", ("of the nearest", "recall"), shares),
        ],
    )
