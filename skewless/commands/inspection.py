"""`inspect`: done by the side that its directory is of."""

from __future__ import annotations

import argparse
import os

from skewless.schemas.records.layout import SAVED_MODEL

__all__ = ["execute"]


def execute(known: argparse.Namespace) -> int:
    """Explains a row by an exported model, or shows records in words; returns the exit code."""
    if os.path.isfile(os.path.join(known.records, SAVED_MODEL)):
        from skewless.model import explain

        return explain.execute(known)
    from skewless.beam_pipelines import inspect_records

    return inspect_records.execute(known)
