"""The table and the chart of measured runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["chart", "table"]

Summary = dict[str, Any]

_HEADINGS = {
    "name": "who",
    "format": "format",
    "rows": "rows",
    "wall": "wall s",
    "fixed": "fixed s",
    "first_record": "1st rec s",
    "rows_per_second": "rows/s",
    "rows_per_second_flowing": "rows/s flowing",
    "megabytes_per_second": "MB/s",
    "cpu_seconds": "CPU s",
    "cpu_per_million_flowing": "CPU s/M flowing",
    "peak_gigabytes": "peak GB",
    "ratio": "ours / it",
    "rows_kept": "rows in = out",
    "right": "right",
}
_OURS, _PEERS = "#1b6ca8", "#b8c4ce"


def table(summaries: Sequence[Summary], memory: str) -> str:
    """Returns the runs as plain text, one line each, medians of the repeats."""
    lines = [list(_HEADINGS.values())]
    lines += [[_shown(summary.get(key)) for key in _HEADINGS] for summary in summaries]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = []
    for line in lines:
        cells = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "-" * max(map(len, text)))
    text += [
        "",
        "fixed: the same job over 1,000 rows, which flowing figures leave out. ours / it: flowing",
        "rows/s of ours, at the size nearest to this run's, over this run's. MB/s: of decoded input.",
        f"peak: greatest {memory} of all processes together.",
    ]
    return "\n".join(text)


def chart(summaries: Sequence[Summary], path: Path) -> None:
    """Draws speed and peak memory as horizontal bars; one PNG and one SVG beside it.

    Args:
      summaries: As for `table`; of each name and format, the largest run is drawn.
      path: Of the PNG.

    Raises:
      ImportError: If matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    largest: dict[tuple[str, str], Summary] = {}
    for summary in summaries:
        place = (summary["format"], summary["name"])
        if summary["wall"] is not None and (
            place not in largest or summary["rows"] > largest[place]["rows"]
        ):
            largest[place] = summary
    formats = list(dict.fromkeys(kind for kind, _ in largest))
    figure, axes = plt.subplots(
        len(formats), 2, figsize=(11, 0.8 + 2.6 * len(formats)), squeeze=False, sharey="row"
    )
    for (speed, memory), kind in zip(axes, formats, strict=True):
        drawn = [summary for (found, _), summary in largest.items() if found == kind]
        drawn.sort(key=_speed)
        names = [f"{summary['name']} ({_count(summary['rows'])})" for summary in drawn]
        colours = [_OURS if summary["ours"] else _PEERS for summary in drawn]
        for axis, values, title, shown in (
            (
                speed,
                [_speed(s) / 1000 for s in drawn],
                "thousand rows/s, start-up left out",
                "{:,.1f}",
            ),
            (
                memory,
                [s["peak_gigabytes"] for s in drawn],
                "peak memory of all processes, GB",
                "{:.1f}",
            ),
        ):
            bars = axis.barh(names, values, color=colours)
            axis.bar_label(bars, [shown.format(value) for value in values], padding=3, fontsize=9)
            axis.set_title(f"{kind.upper()}: {title}", fontsize=10, loc="left")
            axis.margins(x=0.14)
            axis.spines[["top", "right", "bottom"]].set_visible(False)
            axis.tick_params(bottom=False, labelbottom=False, left=False, labelsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)


def _speed(summary: Summary) -> float:
    return float(summary["rows_per_second_flowing"] or summary["rows_per_second"] or 0.0)


def _count(rows: int) -> str:
    return f"{rows / 1e6:g}M rows" if rows >= 1_000_000 else f"{rows / 1e3:g}k rows"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
