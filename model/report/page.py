"""The page: what was opened, as sections of findings, tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path

from skewless.model.report.card.content import card_sections
from skewless.model.report.data_sections import records_section
from skewless.model.report.found.index import index_section
from skewless.model.report.run_sections import comparison_section, run_section
from skewless.model.report.sections import Section
from skewless.model.report.sources import Records, Run
from skewless.schemas.errors import UsageError

__all__ = ["render"]


def render(records: Sequence[Records], runs: Sequence[Run], indexes: Sequence[Path] = ()) -> str:
    """Returns the page.

    Raises:
      UsageError: If jinja2 or vl-convert is not installed.
      DatasetMismatchError: If an index is damaged.
    """
    try:
        import jinja2
    except ImportError as error:
        raise UsageError(
            "report needs jinja2; install it with: pip install 'skewless[report]'"
        ) from error
    whole, runs = runs, [own for run in runs for own in run.by_label]
    sections = [records_section(entry, place, len(records)) for place, entry in enumerate(records)]
    sections += [run_section(run, place) for place, run in enumerate(runs)]
    sections += [index_section(path, place) for place, path in enumerate(indexes)]
    sections += [_card(run, place) for place, run in enumerate(whole)]
    for place, label in enumerate(dict.fromkeys(run.label for run in runs)):
        alike = [run for run in runs if run.label == label]
        if len(alike) > 1:
            sections.append(comparison_section(alike, place))
    todo = [(section, finding) for section in sections for finding in section.findings]
    todo.sort(key=lambda pair: pair[1].level != "act")
    folder = resources.files("skewless.model.report")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    names = dict.fromkeys(
        [f"{run.spec.name}: {run.name}" for run in whole]
        or [entry.spec.name for entry in records]
        or [path.resolve().name for path in indexes]
    )
    return page.render(
        title=", ".join(names),
        written=_written(),
        script=(folder / "page.js").read_text(encoding="utf-8"),
        style=(folder / "page.css").read_text(encoding="utf-8"),
        sections=sections,
        todo=todo,
    )


def _card(run: Run, place: int) -> Section:
    parts = [
        replace(part, anchor=f"card{place}-{part.anchor}")
        for part in card_sections(run.records, run)
    ]
    intro = "What goes with the model where it goes; exported, it has it as Markdown."
    return Section(f"card{place}", f"Model card: {run.name}", intro, parts=parts)


def _written() -> str:
    return f"Written on {datetime.now(timezone.utc):%Y-%m-%d at %H:%M} UTC."
