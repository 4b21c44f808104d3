"""The report's charts in a notebook: drawn where what draws them is installed, left out elsewhere."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.schemas.errors import SkewlessError

if TYPE_CHECKING:
    from skewless.model.report.drawing import Chart

__all__ = ["records_charts", "run_charts"]

# The report's colours, for a page that is not the report's and may be light or dark.
_STYLE = (
    "--ink:currentColor;--line:#8c959f;--grid:#8c959f55;--panel:transparent;"
    "--first:#3b76b3;--second:#c8642a;--warning:#c0266e;"
    "display:flex;flex-wrap:wrap;gap:1rem"
)


def run_charts(directory: str | Path) -> str:
    """Returns a run's loss, its other metric by epoch and its curves on eval, as HTML; or ""."""
    from skewless.model.report.curve_charts import curve_charts
    from skewless.model.report.run_charts import history_charts
    from skewless.model.report.sources import classes_of, open_directories

    try:
        _, (run,) = open_directories([directory])
        charts = []
        for own in run.by_label:
            curves = own.metrics.get("curves", {})
            shown = next((split for split in ("eval", "test") if split in curves), "eval")
            charts += history_charts(own.history, own.error_unit)
            charts += curve_charts(curves.get(shown, {}), classes_of(own.records))
    except SkewlessError:
        return ""
    return _figures(charts)


def records_charts(directory: str | Path) -> str:
    """Returns the label's classes and how far the splits are apart, as HTML; or ""."""
    from skewless.model.report.data_charts import difference_chart
    from skewless.model.report.data_sections import label_charts
    from skewless.model.report.divergence import divergences
    from skewless.model.report.sources import open_directories

    try:
        (records,), _ = open_directories([directory])
        splits = records.splits
        compared = {name: splits[name] for name in list(splits)[:2]}
        charts = label_charts(records)
        if len(compared) == 2:
            one, two = compared.values()
            found = divergences(one, two, records.label)
            charts += [difference_chart(found, *compared)] if found else []
    except SkewlessError:
        return ""
    return _figures(charts)


def _figures(charts: list[Chart]) -> str:
    drawn = "".join(
        f'<figure style="margin:0;max-width:23rem"><b>{html.escape(chart.title)}</b>{chart.svg}'
        f"<figcaption>{html.escape(chart.summary)}</figcaption></figure>"
        for chart in charts
    )
    return f'<div style="{_STYLE}">{drawn}</div>' if drawn else ""
