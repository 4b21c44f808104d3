"""Progress in a notebook: one output of its cell, drawn over, and taken away at the end.

Only what every kernel has is used, `IPython.display`, so a bar needs no widgets and looks the same in
Jupyter, VS Code and Colab. IPython is never imported here: where it is not loaded there is no notebook.
"""

from __future__ import annotations

import html
import logging
import sys
from typing import Any

__all__ = ["NotebookBar", "in_notebook"]


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel, and its user did not silence us.

    `logging.getLogger("skewless").setLevel("WARNING")` does; a kernel whose logging was not set up
    shows no lines of a log, but shall show its bars.
    """
    ipython = sys.modules.get("IPython")
    shell: Any = None if ipython is None else ipython.get_ipython()
    level = logging.getLogger("skewless").level
    return hasattr(shell, "kernel") and level <= logging.INFO


class NotebookBar:
    """A bar in the output of the cell that runs."""

    def __init__(self) -> None:
        """Shows nothing before the first status."""
        self._shown: Any = None

    def tell(self, stage: str, line: str, share: float | None) -> None:
        """Draws a status over the one before.

        Args:
          stage: What the bar is of, for those who do not see it.
          line: What stands beside it.
          share: Of the whole, in [0, 1]; None where that is not known.
        """
        self._draw({"text/plain": line, "text/html": _as_html(stage, line, share)})

    def close(self) -> None:
        """Takes the bar away."""
        if self._shown is not None:
            self._draw({"text/plain": "", "text/html": ""})
            self._shown = None

    def _draw(self, content: dict[str, str]) -> None:
        from IPython.display import display

        if self._shown is None:
            self._shown = display(content, raw=True, display_id=True)
        else:
            self._shown.update(content, raw=True)


def _as_html(stage: str, line: str, share: float | None) -> str:
    value = "" if share is None else f' value="{share:.4f}"'
    return (
        '<div style="display:flex;gap:.7em;align-items:center;flex-wrap:wrap">'
        f'<progress max="1"{value} aria-label="{html.escape(stage)}"></progress>'
        f'<span style="font-variant-numeric:tabular-nums">{html.escape(line)}</span></div>'
    )
