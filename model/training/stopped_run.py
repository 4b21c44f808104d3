"""A stopped run: what `train --resume` goes on with. Imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path

from skewless.schemas.records.layout import METRICS, SPEC
from skewless.schemas.storage.leaving import stand_in
from skewless.schemas.storage.location import is_uri

__all__ = ["STATE", "to_resume"]

STATE = Path("checkpoints", "state.json")


def to_resume(path: str | Path) -> str:
    """Returns what is left of an unfinished run and how to go on; empty where there is none."""
    run = stand_in(path) if is_uri(path) else Path(path)
    if not (run / SPEC).is_file() or (run / METRICS).is_file():
        return ""
    try:
        state = json.loads((run / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{path} holds a run that has no checkpoint yet; begin it anew with --resume"
    if "epoch" not in state:
        return f"{path} holds what was trained; go on with --resume"
    return (
        f"{path} holds what was trained up to epoch {state['epoch'] + 1}, step {state['step']}; "
        "go on with --resume"
    )
