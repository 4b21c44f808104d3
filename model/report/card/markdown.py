"""A model card as a Markdown file, tables and all, for places that show such files."""

from __future__ import annotations

import re
from pathlib import Path

from skewless.model.report.card.content import card_sections
from skewless.model.report.sections import Section, Table
from skewless.model.report.sources import Records, Run, open_directories, open_records
from skewless.schemas.records.layout import METRICS

__all__ = ["card_of", "markdown"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#])")


def card_of(directory: str | Path) -> str:
    """Returns the card of a run, or of records that a model elsewhere was trained on.

    Raises:
      DatasetMismatchError: If one of its files is damaged.
    """
    if not (Path(directory) / METRICS).is_file():
        return markdown(open_records(directory), None)
    _, (run,) = open_directories([directory])
    return markdown(run.records, run)


def markdown(records: Records, run: Run | None) -> str:
    """Returns a card as Markdown (CommonMark, with tables as GitHub has them)."""
    name = (records.spec if run is None else run.spec).name
    parts = [f"# Model card: {_escaped(name)}", *map(_section, card_sections(records, run))]
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> str:
    parts = [f"## {_escaped(section.title)}"]
    parts += [_escaped(section.intro)] if section.intro else []
    for table in section.tables:
        titled = len(section.tables) > 1 or section.anchor.startswith("slices")
        parts += [f"### {_escaped(table.title)}"] if titled else []
        parts.append(_table(table))
    return "\n\n".join(parts)


def _table(table: Table) -> str:
    rows = [table.columns, *table.rows]
    lines = [f"| {' | '.join(map(_escaped, row))} |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(table.columns))
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Returns a text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()).replace("&", "&amp;"))
