"""Whether two specs give IDs, and scaled numbers, the same meaning, and records the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skewless.schemas.spec.spec import Spec

__all__ = ["meaning_differences", "record_differences"]

# What the model makes of IDs, and which rows are turned away: neither changes what an ID means.
_READ_BY_THE_MODEL = ("embedding", "encoder", "vectors", "weight", "weighting")
_BESIDE_MEANING = (*_READ_BY_THE_MODEL, "required")
# How many tokens get an ID of their own, which only grows; a file is compared by its lines.
_GROWING = ("max_size", "min_count", "file")


def meaning_differences(earlier: Spec, later: Spec) -> list[str]:
    """Returns what makes a value's ID, or a number's scale, another thing under `later`.

    Sizes of vocabularies and the contents of vocabulary files are not looked at here.
    """
    return list(_differences("", _meaning(earlier), _meaning(later)))


def record_differences(earlier: Spec, later: Spec) -> list[str]:
    """Returns what makes the records of `later` others than those of `earlier`.

    How the model looks IDs up and reads them (`embedding`, `encoder`, `vectors`) changes no record.
    """
    return list(_differences("", _shaping(earlier), _shaping(later)))


def _shaping(spec: Spec) -> dict[str, Any]:
    # Where shares of time came to lie follows from the rows.
    declared_split = spec.model_copy(update={"split": spec.split.as_declared})
    document = declared_split.model_dump(mode="json", exclude={"model", "training"})
    for declared in _declared(document):
        for key in _READ_BY_THE_MODEL:
            declared.pop(key, None)
    return document


def _meaning(spec: Spec) -> dict[str, Any]:
    document = spec.model_dump(
        mode="json", include={"features", "label", "labels", "missing_values", "preprocessing"}
    )
    for declared in _declared(document):
        for key in _BESIDE_MEANING:
            declared.pop(key, None)
        vocabulary = declared.get("vocabulary") or {}
        vocabulary["from a file"] = vocabulary.get("file") is not None
        for key in _GROWING:
            vocabulary.pop(key, None)
    return document


def _declared(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns features and labels."""
    label = [document["label"]] if document["label"] else []
    return [*document["features"].values(), *label, *(document["labels"] or {}).values()]


def _differences(path: str, earlier: Any, later: Any) -> Iterator[str]:
    if isinstance(earlier, dict) and isinstance(later, dict):
        for key in [*earlier, *(key for key in later if key not in earlier)]:
            where = f"{path}.{key}" if path else key
            if key not in later:
                yield f"{where} is gone"
            elif key not in earlier:
                yield f"{where} is new"
            else:
                yield from _differences(where, earlier[key], later[key])
    elif earlier != later:
        yield f"{path} was {earlier!r}, is {later!r}"
