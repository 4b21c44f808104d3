"""Reads a YAML document, refusing what YAML lets pass and keeping what it would lose.

YAML keeps the last of two equal keys, so a second `age:` would drop the first feature unseen. It
takes `yes` and `NO` for booleans, `05` for an octal 5 and `1_000` for 1000; a label's values are
read as they are written instead. A few hundred bytes can nest deeper than Python calls, or stand,
by aliases of aliases, for billions of values: what is beyond any spec is refused by line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from skewless.schemas.errors import SpecError

__all__ = ["read_text", "read_yaml", "write_yaml"]

_MOST_BYTES = 16 << 20
_MOST_VALUES = 1_000_000
_DEEPEST = 50
# PyYAML writes some of these as they are, and folds them when it reads.
_ESCAPED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


class _Refused(yaml.YAMLError):
    """What we refuse, not YAML; the message says where."""


# Keys of lists that hold values of rows.
_LISTS_OF_VALUES = ("positive", "negative", "classes")


class _Bounded(yaml.SafeLoader):
    """Refuses repeated keys, deep nesting and aliases that multiply, while it composes.

    Construction comes later: it merges `<<` into the same list of keys, where a key that overrides
    a merged one is no repetition.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        # By a node's identity, how many values it stands for; 0 while it is being composed.
        self._values: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Refused(f"line {line}: is nested more than {_DEEPEST} deep; a spec never is")
        alias = self.check_event(yaml.AliasEvent)  # type: ignore[no-untyped-call]
        node: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[no-untyped-call]
        self._depth -= 1
        if alias and id(node) not in self._values:
            raise _Refused(f"line {line}: an alias stands for what it is in; write that out")
        if node is not None and not alias:
            self._values[id(node)] = 1 + sum(self._values[id(part)] for part in _parts(node))
        if node is not None and self._values[id(node)] > _MOST_VALUES:
            raise _Refused(
                f"line {line}: stands for more than {_MOST_VALUES:,} values, by aliases of "
                "aliases or in full; write out what is meant"
            )
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)  # type: ignore[no-untyped-call]
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            identity = (key.tag, key.value)
            if identity in first:
                raise _Refused(
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

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)  # type: ignore[no-untyped-call]
        except (ArithmeticError, AttributeError, LookupError, ValueError):
            # A date such as 2026-13-45, a number of more digits than Python reads, `!!bool abc`.
            if not isinstance(node, yaml.ScalarNode):
                raise
            line = node.start_mark.line + 1
            shown = str(node.value)[:40]
            raise _Refused(
                f"line {line}: {shown!r} cannot be read as {node.tag.rpartition(':')[2]}; put it in "
                "quotes"
            ) from None


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def read_yaml(text: str, source: str) -> Any:
    """Returns the document of `text`.

    Raises:
      SpecError: If it is not YAML, gives a key twice, or is larger or deeper than any spec; the
        line is named.
    """
    try:
        return yaml.load(text, Loader=_Bounded)
    except _Refused as error:
        raise SpecError(str(error), source=source) from None
    except yaml.YAMLError as error:
        raise SpecError(f"{_place(error, text)}; mend that place", source=source) from error


def read_text(path: str | Path) -> str:
    """Returns the text of a spec file.

    Raises:
      SpecError: If the file cannot be read, is larger than any spec, or is not UTF-8.
    """
    source = str(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot be read: {error}; check the path", source=source) from error
    if len(data) > _MOST_BYTES:
        raise SpecError(
            f"expected a spec of at most {_MOST_BYTES >> 20} MiB, got more; is it the spec? "
            "Check the path",
            source=source,
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"line {line}: expected UTF-8, got byte 0x{data[error.start]:02x}; cannot be read. Save "
            "the file as UTF-8 and check the path",
            source=source,
        ) from None


def _place(error: yaml.YAMLError, text: str) -> str:
    """Returns the line and what is wrong there, on one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        problem = getattr(error, "problem", None) or getattr(error, "context", None)
        return f"line {mark.line + 1}, column {mark.column + 1}: is not YAML: {problem}"
    position = getattr(error, "position", None)
    if isinstance(position, int):
        line = text.count("\n", 0, position) + 1
        return f"line {line}: is not YAML: {getattr(error, 'reason', error)}"
    return f"is not YAML: {error}"


class _Faithful(yaml.SafeDumper):
    """Writes text so that it reads back as it was: line breaks unlike `\\n` as escapes."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _ESCAPED.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Faithful.add_representer(str, _text)


def write_yaml(document: Any) -> str:
    """Returns a document as YAML, in its own order, which `read_yaml` reads back the same."""
    return str(yaml.dump(document, Dumper=_Faithful, sort_keys=False, allow_unicode=True))
