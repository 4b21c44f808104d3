"""Charts: a Vega-Lite declaration rendered to SVG once, when the report is written.

The page needs no script. Colours are the page's CSS variables, so that one drawing serves light,
dark and paper; each mark's description becomes its tooltip; beside each chart stands a sentence for
those who do not see it, and its numbers as a table.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from skewless.schemas.errors import UsageError

__all__ = ["FIRST", "SECOND", "WARNING", "Chart", "by_colour", "day", "draw", "number"]

_EPOCH = date(1970, 1, 1).toordinal()

FIRST, SECOND, WARNING = "var(--first)", "var(--second)", "var(--warning)"
WIDTH = 330
_CONFIG: dict[str, Any] = {
    "font": "system-ui, sans-serif",
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--ink)",
        "gridColor": "var(--grid)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 120,
        "labelOverlap": True,
        "titlePadding": 10,
    },
    "legend": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--ink)",
        "labelFontSize": 12,
        "orient": "top",
        "title": None,
        "columnPadding": 20,
    },
    "text": {"color": "var(--ink)", "fontSize": 12},
    "bar": {"color": FIRST},
    "point": {
        "filled": True,
        "size": 50,
        "opacity": 1,
        "stroke": "var(--panel)",
        "strokeWidth": 1.5,
    },
    "rule": {"color": "var(--line)"},
}


@dataclass(frozen=True)
class Chart:
    """A drawn chart.

    Attributes:
      title: What it shows.
      summary: The same in a sentence with its figures.
      svg: The drawing.
      columns: The names of its numbers.
      rows: Its numbers.
    """

    title: str
    summary: str
    svg: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def draw(
    title: str,
    summary: str,
    declared: Mapping[str, Any],
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    height: int = 180,
) -> Chart:
    """Renders a Vega-Lite declaration.

    Raises:
      UsageError: If vl-convert is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise UsageError(
            "report needs vl-convert-python; install it with: pip install 'skewless[report]'"
        ) from error
    whole = {
        "width": WIDTH,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        # The browser's letters may be wider than those the drawing was laid out with.
        "padding": {"left": 18, "top": 4, "right": 8, "bottom": 2},
        "config": _CONFIG,
        **declared,
    }
    svg = vl_convert.vegalite_to_svg(whole)
    table = [tuple(_cell(value) for value in row) for row in rows]
    return Chart(title, summary, _for_page(svg, f"{title}. {summary}"), tuple(columns), table)


def number(value: float | None) -> str:
    """Returns a number with as many digits as a reader needs."""
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1_000 else f"{value:.4g}"


def day(days: float | None) -> str:
    """Returns days since 1970 as a date."""
    return "-" if days is None else str(date.fromordinal(_EPOCH + math.floor(days)))


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return number(value)


def _for_page(svg: str, label: str) -> str:
    """Gives a drawing tooltips and one label."""
    svg = re.sub(
        r'<path aria-label="([^"]*)" role="graphics-symbol"([^>]*)/>',
        r"<path\2><title>\1</title></path>",
        svg,
    )
    # As one image it is read by its label; the roles within would be read mark by mark.
    svg = re.sub(r' (role|aria-[a-z]+)="[^"]*"', "", svg)
    return svg.replace(
        'class="marks"', f'class="chart" role="img" aria-label="{html.escape(label)}"', 1
    )


def by_colour(
    field: str, domain: Sequence[str], colours: Sequence[str] = (FIRST, SECOND)
) -> dict[str, Any]:
    """Declares a colour by the values of a field, in the order of `domain`, told by a legend."""
    return {
        "color": {
            "field": field,
            "type": "nominal",
            "scale": {"domain": list(domain), "range": list(colours)},
        }
    }
