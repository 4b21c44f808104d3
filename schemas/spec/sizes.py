"""Sizes: whole numbers of the spec, each with the most that still makes sense, and why.

What is larger is a slip, and would only be noticed when memory ends, hours later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

__all__ = [
    "AtMost",
    "BatchRows",
    "Beams",
    "Bins",
    "Buckets",
    "Count",
    "Generated",
    "Grams",
    "Ids",
    "Layers",
    "Members",
    "Passes",
    "Seed",
    "Steps",
    "Width",
]


@dataclass(frozen=True)
class AtMost:
    """Bounds a whole number from above: in JSON Schema, and with its reason in refusals."""

    most: int
    why: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "maximum": self.most}

    def _check(self, value: int) -> int:
        if value > self.most:
            # Without its digits: there may be thousands of them.
            got = f"{value:,}" if value < 1 << 128 else "a far larger number"
            raise ValueError(f"expected at most {self.most:,}, got {got}: {self.why}")
        return value


_Positive = Field(gt=0)

Steps = Annotated[int, _Positive, AtMost(100_000, "every record holds so many values, padded")]
Generated = Annotated[
    int, _Positive, AtMost(1_000, "the exported graph holds each step that generates a token")
]
Grams = Annotated[int, _Positive, AtMost(16, "each token begins so many more tokens")]
Ids = Annotated[
    int, _Positive, AtMost(100_000_000, "the embedding table has a row for each, held in memory")
]
Count = Annotated[int, _Positive, AtMost(2**31 - 1, "no vocabulary holds, or counts, more")]
Width = Annotated[int, _Positive, AtMost(65_536, "a vector's width, times which memory grows")]
Layers = Annotated[int, _Positive, AtMost(100, "layers are on top of each other")]
Members = Annotated[
    int, _Positive, AtMost(1_000, "each member's activations are held in memory, and computed")
]
Buckets = Annotated[
    int, Field(ge=2), AtMost(100_000, "each bucket has a boundary in the graph and an ID")
]
Bins = Annotated[
    int, Field(ge=1), AtMost(10_000, "each bin has a weight for every place of the vector")
]
BatchRows = Annotated[int, _Positive, AtMost(2**24, "a batch is held in memory, padded")]
Passes = Annotated[int, _Positive, AtMost(1_000_000, "each is a pass over the training split")]
Beams = Annotated[int, _Positive, AtMost(1_000, "each candidate is decoded at every step")]
Seed = Annotated[int, Field(ge=0), AtMost(2**31 - 1, "generators of random numbers take 31 bits")]
