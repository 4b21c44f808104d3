"""Reads a YAML document, refusing what YAML lets pass and keeping what it would lose.

YAML keeps the last of two equal keys, so a second `age:` would drop the first feature unseen. It
takes `yes` and `NO` for booleans, `05` for an octal 5 and `1_000` for 1000; a label's values are
read as they are written instead.
"""

from __future__ import annotations

from typing import Any

import yaml

from schemas.errors import SpecError

__all__ = ["read_yaml"]


class _RepeatedKey(yaml.YAMLError):
    """A key given twice; the message says where."""


# Keys of lists that hold values of rows.
_LISTS_OF_VALUES = ("positive", "negative", "classes")


class _Loader(yaml.SafeLoader):
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
        for key, values in node.value:
            if key.value in _LISTS_OF_VALUES and isinstance(values, yaml.SequenceNode):
                for value in values.value:
                    self._keep_as_written(value, as_text=key.value == "classes")
        return node

    def _keep_as_written(self, node: yaml.Node, *, as_text: bool) -> None:
        """Makes a plain scalar text, unless it is a value that is written in this one way."""
        if not isinstance(node, yaml.ScalarNode) or node.style is not None:
            return
        kind = node.tag.rpartition(":")[2]
        one_way = {
            "int": lambda: str(int(node.value)) == node.value,
            "float": lambda: repr(float(node.value)) == node.value,
            "bool": lambda: node.value.lower() in ("true", "false"),
        }.get(kind)
        try:
            kept = one_way is not None and one_way() and not as_text
        except ValueError:  # 1_000 and 1:30
            kept = False
        if not kept and kind in ("int", "float", "bool", "timestamp"):
            node.tag = "tag:yaml.org,2002:str"


def read_yaml(text: str, source: str) -> Any:
    """Returns the document of `text`.

    Raises:
      SpecError: If it is not YAML, or a mapping gives a key twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except _RepeatedKey as error:
        raise SpecError(str(error), source=source) from None
    except yaml.YAMLError as error:
        raise SpecError(f"is not YAML: {error}; mend that place", source=source) from error
