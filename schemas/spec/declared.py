"""The base of every declared type: frozen, closed, and strict about what it accepts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from skewless.schemas.errors import nearest

__all__ = ["Declared"]


class Declared(BaseModel):
    """A frozen declaration that refuses keys it does not know, naming the nearest one."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            valid = {field.alias or name for name, field in cls.model_fields.items()}
            unknown = [key for key in data if key not in valid and key not in cls.model_fields]
            if unknown:
                hints = "; ".join(
                    f"unknown key {key!r}{nearest(str(key), valid)}" for key in unknown
                )
                raise ValueError(f"{hints} (valid keys: {', '.join(sorted(valid))})")
            for key, value in data.items():
                # Python counts True as 1; `length: yes` is a slip, not a length.
                field = cls.model_fields.get(key)
                if isinstance(value, bool) and field and _numbers_only(field.annotation):
                    raise ValueError(f"{key}: expected a number, got {value!r}")
        return data


def _numbers_only(annotation: Any) -> bool:
    kinds = set(_kinds(annotation))
    return bool(kinds & {int, float}) and bool not in kinds


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yields the types that an annotation is made of."""
    parts = get_args(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from _kinds(part)
