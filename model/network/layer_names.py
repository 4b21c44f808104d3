"""Names of layers: `kind.feature`, where no feature can have such a name itself.

An input is called as its feature is. Every other layer's name holds a dot, which names of features
do not, so that neither `merge` nor `mean_tags` as a feature meets a layer of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

__all__ = ["earlier_name", "layer_called", "layer_name", "model_name"]

Layer = TypeVar("Layer")


def layer_name(kind: str, *of: str | int) -> str:
    """Returns the name of a layer: of what kind it is, then of which feature or place."""
    return ".".join([kind, *(_coded(str(part)) for part in of)]) if of else f"the.{kind}"


def layer_called(name: str, layers: Mapping[str, Layer]) -> Layer:
    """Returns the layer of a name that `layer_name` gave, of a run of whatever version."""
    return layers[name] if name in layers else layers[earlier_name(name)]


def earlier_name(name: str) -> str:
    """Returns what runs of before call a layer, whose names were joined by `_`."""
    return name.removeprefix("the.").replace(".", "_")


def model_name(spec_name: str, kind: str) -> str:
    """Returns a model's name: a spec may be called what Keras and TensorFlow take no name from."""
    return f"{_coded(spec_name.replace(' ', '_'))}_{kind}"


def _coded(text: str) -> str:
    """Returns `text` without what Keras or TensorFlow's scopes refuse, different texts apart."""
    return re.sub(r"[^A-Za-z0-9_]", lambda found: f"-{ord(found[0]):x}-", text)
