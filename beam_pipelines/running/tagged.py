"""Values for a tagged output from where a bundle ends."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

__all__ = ["tagged"]


def tagged(tag: str, value: Any) -> WindowedValue:
    """Returns what `finish_bundle` yields to put a value into a tagged output."""
    window = GlobalWindow()
    return beam.pvalue.TaggedOutput(tag, WindowedValue(value, window.max_timestamp(), [window]))
