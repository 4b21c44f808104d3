"""Reads a YAML document, refusing what YAML lets pass: a key given twice.

YAML keeps the last of two equal keys, so a second `age:` would drop the first feature unseen.
"""

from __future__ import annotations

from typing import Any

import yaml

from schemas.errors import SpecError

__all__ = ["read_yaml"]


class _RepeatedKey(yaml.YAMLError):
    """A key given twice; the message says where."""


class _UniqueKeys(yaml.SafeLoader):
    # Checked while composing: construction merges `<<` into the same list of keys, and a key
    # that overrides a merged one is no repetition.
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)  # type: ignore[no-untyped-call]
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            identity = (key.tag, key.value)
            if identity in first:
                raise _RepeatedKey(
                    f"line {line}: key {key.value!r} is given twice, "
                    f"first on line {first[identity]}; keep one"
                )
            first[identity] = line
        return node


def read_yaml(text: str, source: str) -> Any:
    """Returns the document of `text`.

    Raises:
      SpecError: If it is not YAML, or a mapping gives a key twice.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeys)
    except _RepeatedKey as error:
        raise SpecError(str(error), source=source) from None
    except yaml.YAMLError as error:
        raise SpecError(f"is not YAML: {error}; mend that place", source=source) from error
