"""Values for an output from where a bundle ends."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

__all__ = ["at_the_end", "tagged"]


def at_the_end(value: Any) -> WindowedValue:
    """Returns what `finish_bundle` yields to put a value into the main output."""
    window = GlobalWindow()
    return WindowedValue(value, window.max_timestamp(), [window])


def tagged(tag: str, value: Any) -> WindowedValue:
    """Returns what `finish_bundle` yields to put a value into a tagged output."""
    return beam.pvalue.TaggedOutput(tag, at_the_end(value))
