"""Structured logs: one JSON object a line."""

from __future__ import annotations

import datetime
import json
import logging
from typing import Any

__all__ = ["log"]

_LOGGER = logging.getLogger(__name__)
# Made once: `json.dumps` makes one each time.
_ENCODER = json.JSONEncoder(default=str, ensure_ascii=False)


def log(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """Writes what happened, with the time and what there is to say of it; None is left out."""
    if not _LOGGER.isEnabledFor(level):
        return
    now = datetime.datetime.now(datetime.timezone.utc)
    document = {
        "time": now.isoformat(timespec="milliseconds"),
        "level": logging.getLevelName(level).lower(),
        "event": event,
        **{name: value for name, value in fields.items() if value is not None},
    }
    # Not by `log`, which looks for the line of code that called it.
    line = _ENCODER.encode(document)
    _LOGGER.handle(_LOGGER.makeRecord(_LOGGER.name, level, __file__, 0, line, (), None))
