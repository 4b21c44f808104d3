"""What a report is made of: sections of findings, tables and charts."""

from __future__ import annotations

from dataclasses import dataclass, field

from skewless.model.report.drawing import Chart
from skewless.model.report.findings import Finding

__all__ = ["Section", "Table"]


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
