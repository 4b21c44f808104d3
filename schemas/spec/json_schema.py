"""The published JSON Schema of the spec, for editors (`schemas/spec.schema.json`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skewless.schemas.spec.spec import Spec

__all__ = ["PUBLISHED", "json_schema"]

PUBLISHED = Path(__file__).parent.with_name("spec.schema.json")

# One of each union whose members may be given by their names alone.
_BY_NAME = {"gru", "piecewise_linear"}
_SCHEDULE = {"$ref": "#/$defs/CosineSchedule"}


def json_schema() -> str:
    """Returns the JSON Schema as text; `python -m skewless.schemas.spec.json_schema` writes it anew."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Spec.model_json_schema()}
    return json.dumps(_with_short_forms(schema), indent=2) + "\n"


def _with_short_forms(node: Any) -> Any:
    """Adds what loading accepts beyond the types: an encoder, an embedding of numbers or a schedule
    by its name, a model without type.
    """
    if isinstance(node, list):
        return [_with_short_forms(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _with_short_forms(value) for key, value in node.items()}
    if node == _SCHEDULE:
        return {"anyOf": [node, {"enum": ["cosine"]}]}
    if "discriminator" in node and "oneOf" in node:
        mapping = node.pop("discriminator")["mapping"]
        node["anyOf"] = node.pop("oneOf")
        if "towers" not in mapping:
            # Only the model's type has a default where a union is chosen by it.
            named = _BY_NAME & mapping.keys()
            node = {"type": ["object", "string"] if named else "object", **node}
            node["anyOf"] = [{**one, "required": ["type"]} for one in node["anyOf"]]
        if _BY_NAME & mapping.keys():
            node["anyOf"].append({"enum": sorted(mapping)})
    return node


if __name__ == "__main__":
    PUBLISHED.write_text(json_schema(), encoding="utf-8")
