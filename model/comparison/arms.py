"""Variations: specs that differ from one another in declared keys, and in nothing of their records."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from skewless.schemas.errors import UsageError, nearest
from skewless.schemas.records.id_meaning import record_differences
from skewless.schemas.spec.spec import Spec, parse

__all__ = ["Arm", "arms_of", "read_values", "value_of", "with_values"]


@dataclass(frozen=True)
class Arm:
    """One of the specs compared.

    Attributes:
      values: What it has under each varied key.
      spec: The whole spec.
    """

    values: Mapping[str, Any]
    spec: Spec

    @property
    def name(self) -> str:
        """What a person calls it: the values, with their keys where several are varied."""
        if len(self.values) == 1:
            return ", ".join(_shown(value) for value in self.values.values())
        return ", ".join(
            f"{key.rpartition('.')[2]} {_shown(value)}" for key, value in self.values.items()
        )

    @property
    def folder(self) -> str:
        """A file name of its own."""
        parts = (f"{key}={_shown(value)}" for key, value in self.values.items())
        return re.sub(r"[^A-Za-z0-9_.=,+-]+", "_", ",".join(parts))


def arms_of(spec: Spec, varied: Mapping[str, Sequence[Any]]) -> list[Arm]:
    """Returns one arm for each combination of the varied keys' values.

    Args:
      spec: What all arms are but for the varied keys.
      varied: Values by key, a dotted path such as `features.title.encoder`.

    Raises:
      UsageError: If there is no such key, a value comes twice, or an arm's records would be others.
      SpecError: If a value does not fit its key.
    """
    arms = []
    for values in itertools.product(*varied.values()):
        chosen = dict(zip(varied, values, strict=True))
        arms.append(Arm(chosen, with_values(spec, chosen)))
    folders = [arm.folder for arm in arms]
    twice = next((arm.name for arm in arms if folders.count(arm.folder) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice}: is given twice; name each value once")
    return arms


def with_values(spec: Spec, values: Mapping[str, Any]) -> Spec:
    """Returns the spec with other values under some keys.

    Raises:
      UsageError: If there is no such key, or the records would be others.
      SpecError: If a value does not fit its key.
    """
    document = spec.model_dump(mode="json")
    for key, value in values.items():
        _put(document, key, value)
    told = ", ".join(f"{key}={_shown(value)}" for key, value in values.items())
    changed = parse(document, source=told)
    differences = record_differences(spec, changed)
    if differences:
        raise UsageError(
            f"{told}: needs other records ({'; '.join(differences[:3])}), and a comparison trains on "
            "the same; write a spec with it, `skewless preprocess` that, and train a run on each"
        )
    return changed


def _put(document: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    place: Any = document
    for number, part in enumerate((*path, last)):
        if not isinstance(place, dict) or part not in place:
            before = ".".join(key.split(".")[:number]) or "the spec"
            valid = sorted(place) if isinstance(place, dict) else []
            raise UsageError(
                f"{key}: there is no {part!r} in {before}{nearest(part, valid)}"
                + (f" (there are {', '.join(valid)})" if valid else "")
            )
        if number < len(path):
            place = place[part]
    place[last] = value


def value_of(document: Mapping[str, Any], key: str) -> Any:
    """Returns what a spec's document has under a key, a dotted path that it has."""
    value: Any = document
    for part in key.split("."):
        value = value[part]
    return value


def read_values(option: str, text: str) -> tuple[str, list[Any]]:
    """Reads `KEY=a,b,c`; each value is YAML, so that lists and maps in brackets may be given.

    Raises:
      UsageError: If the text is not of that form.
    """
    key, equals, values = text.partition("=")
    try:
        found = list(yaml.safe_load(f"[{values}]")) if equals else []
    except yaml.YAMLError as error:
        raise UsageError(
            f"{option} {text}: the values are no YAML: {error}; write them as a,b"
        ) from error
    if not key or not found or None in found:
        raise UsageError(
            f"{option} {text}: expected a key of the spec and its values, such as model.dropout=0,0.2"
        )
    return key.strip(), found


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_items(value)) + "]"
    return str(value)


def _items(values: Sequence[Any]) -> Iterator[str]:
    yield from (_shown(value) for value in values)
