"""The table and the chart of measured runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["chart", "table"]

Summary = dict[str, Any]

_HEADINGS = {
    "name": "who",
    "format": "format",
    "rows": "rows",
    "wall": "wall s",
    "cpu_seconds": "CPU s",
    "whole_ratio": "ours / it",
    "peak_gigabytes": "peak GB",
    "first_record": "1st rec s",
    "rows_per_second": "rows/s",
    "megabytes_per_second": "MB/s",
    "rows_per_second_flowing": "rows/s flowing",
    "cpu_per_million_flowing": "CPU s/M flowing",
    "ratio": "ours / it flowing",
    "rows_kept": "rows in = out",
    "right": "right",
}
_OURS, _PEERS = "#1b6ca8", "#b8c4ce"
_LINES = ("-", "--", ":", "-.")


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
        "wall, CPU: of the whole command. ours / it: wall seconds of ours over this run's, at as many rows;",
        "flowing: rows/s of ours over this run's, at the nearest size, without what the same job takes over",
        "1,000 rows. MB/s: of decoded input.",
        f"peak: greatest {memory} of all processes together.",
    ]
    return "\n".join(text)


def chart(summaries: Sequence[Summary], path: Path) -> None:
    """Draws whole commands' seconds by rows, and the largest runs' memory; a PNG and an SVG beside it.

    Args:
      summaries: As for `table`.
      path: Of the PNG.

    Raises:
      ImportError: If matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sound = [summary for summary in summaries if summary["wall"] is not None]
    formats = list(dict.fromkeys(summary["format"] for summary in sound))
    figure, axes = plt.subplots(
        len(formats), 2, figsize=(11, 0.8 + 3.2 * len(formats)), squeeze=False
    )
    for (seconds, memory), kind in zip(axes, formats, strict=True):
        by_name: dict[str, list[Summary]] = {}
        for summary in sound:
            if summary["format"] == kind:
                by_name.setdefault(summary["name"], []).append(summary)
        _draw_seconds(seconds, by_name)
        seconds.set_title(f"{kind.upper()}: seconds of the whole command", fontsize=10, loc="left")
        _draw_memory(memory, by_name)
        memory.set_title("peak memory of all processes, GB", fontsize=10, loc="left")
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)


def _draw_seconds(axis: Any, by_name: Mapping[str, Sequence[Summary]]) -> None:
    for place, (name, runs) in enumerate(by_name.items()):
        runs = sorted(runs, key=lambda run: run["rows"])
        ours = runs[0]["ours"]
        axis.plot(
            [run["rows"] for run in runs],
            [run["wall"] for run in runs],
            color=_OURS if ours else "#5c6b77",
            linewidth=2.2 if ours else 1.2,
            linestyle=_LINES[place % len(_LINES)],
            marker="o",
            markersize=3.5,
            label=name,
        )
    axis.set(xscale="log", yscale="log", xlabel="rows")
    axis.legend(fontsize=8, frameon=False)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_memory(axis: Any, by_name: Mapping[str, Sequence[Summary]]) -> None:
    largest = [max(runs, key=lambda run: run["rows"]) for runs in by_name.values()]
    largest.sort(key=lambda run: run["peak_gigabytes"], reverse=True)
    bars = axis.barh(
        [f"{run['name']} ({_count(run['rows'])})" for run in largest],
        [run["peak_gigabytes"] for run in largest],
        color=[_OURS if run["ours"] else _PEERS for run in largest],
    )
    axis.bar_label(bars, [f"{run['peak_gigabytes']:.1f}" for run in largest], padding=3, fontsize=9)
    axis.margins(x=0.14)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    axis.tick_params(bottom=False, labelbottom=False, left=False, labelsize=9)


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
