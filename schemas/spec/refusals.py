"""A refused declaration in words: the key's path, what was expected, what came, the nearest key.

Pydantic reports one error for each branch of a union and puts the branches' names into the
path; here each wrong value becomes one line under the path as the document has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from skewless.schemas.errors import nearest

__all__ = ["in_words"]

Location = tuple[int | str, ...]

_UNION_TAGS = frozenset(
    {
        "text",
        "categorical",
        "numeric",
        "timestamp",
        "cross",
        "history",
        "towers",
        "seq2seq",
        "two_tower",
    }
)
# What else a union of words takes, by the prefix of the other branch's error.
_OTHERWISE = {
    "float": "a number",
    "finite": "a number",
    "int": "a whole number above 0",
    "greater_than": "a whole number above 0",
    "string_pattern": "LABEL_METRIC",
    "model": "{regex: EXPRESSION}",
}


def in_words(error: ValidationError, document: Any) -> list[str]:
    """Returns one line for each thing wrong with `document`."""
    lines: list[str] = []
    for problem in _one_for_each_value(error.errors(include_url=False)):
        location = problem["loc"]
        if problem["type"] == "extra_forbidden":
            continue  # Declared reports unknown keys with the nearest valid one.
        path = _document_path(location, document)
        message = _message(problem)
        if location[-1:] == ("[key]",):
            path = _document_path(location[:-2], document)
            message = (
                f"expected names as text, got {problem['input']!r}; YAML reads yes, no, on, off "
                "and numbers as values, so put the name in quotes"
            )
        elif problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path = f"{path}.type" if path else "type"
        for line in message.split("\n"):
            entry = f"{path}: {line}" if path and not line.startswith(f"{path}.") else line
            if entry not in lines:
                lines.append(entry)
    return lines


def _message(problem: Any) -> str:
    kind, got = problem["type"], problem["input"]
    if kind in ("missing", "union_tag_not_found"):
        return "is required but absent"
    if kind == "union_tag_invalid":
        tag = problem["ctx"]["tag"]
        expected = re.findall(r"'([^']*)'", problem["ctx"]["expected_tags"])
        return f"expected one of {', '.join(expected)}, got {tag!r}{nearest(tag, expected)}"
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        hint = nearest(got, expected) if isinstance(got, str) else ""
        choices = ", ".join(expected)
        many = f"one of {choices}" if len(expected) > 1 else choices
        return f"expected {many}{problem.get('otherwise', '')}, got {got!r}{hint}"
    if problem["msg"].startswith("Value error, "):
        return str(problem["msg"]).removeprefix("Value error, ")
    quotes = "; put it in quotes" if kind == "string_type" and _scalar(got) else ""
    return f"{problem['msg'][0].lower()}{problem['msg'][1:]}, got {got!r}{quotes}"


def _scalar(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def _one_for_each_value(problems: Sequence[Any]) -> list[Any]:
    """Joins the branches of a union of words and something else into one problem.

    A mapping given to such a union was meant as the other branch, whose own problems stay.
    """
    joined: list[Any] = []
    # By the place of each such union, what stands there.
    unions = {problem["loc"][:-1]: problem["input"] for problem in problems if _is_words(problem)}
    for problem in problems:
        union = next((at for at in unions if problem["loc"][: len(at)] == at), None)
        if union is None:
            joined.append(problem)
            continue
        others = [
            other
            for other in problems
            if other["loc"][: len(union)] == union and not _is_words(other)
        ]
        inner = [other for other in others if _says_what(other, union, unions[union])]
        if problem in inner:
            joined.append({**problem, "loc": (*union, *problem["loc"][len(union) + 1 :])})
        elif _is_words(problem) and not inner:
            words = {
                text
                for other in others
                for prefix, text in _OTHERWISE.items()
                if other["type"].startswith(prefix)
            }
            otherwise = f" or {words.pop()}" if len(words) == 1 else ""
            joined.append({**problem, "loc": union, "otherwise": otherwise})
    return joined


def _says_what(problem: Any, union: Location, got: Any) -> bool:
    """Whether the other branch says what is wrong with a value of its own kind."""
    return (
        len(problem["loc"]) > len(union) + 1
        or problem["type"] == "value_error"
        or (problem["type"].startswith("union_tag") and isinstance(got, Mapping))
    )


def _is_words(problem: Any) -> bool:
    """Whether a problem is that of the words' branch of a union."""
    return bool(problem["loc"]) and str(problem["loc"][-1]).startswith("literal[")


def _document_path(location: Location, document: Any) -> str:
    """Drops the union tags that pydantic puts between the document's own keys."""
    path: list[str] = []
    node = document
    for position, step in enumerate(location):
        last = position == len(location) - 1
        if isinstance(node, Mapping) and step in node:
            node = node[step]
            path.append(str(step))
        elif isinstance(node, list | tuple) and isinstance(step, int) and step < len(node):
            node = node[step]
            path[-1] += f"[{step}]"
        elif (
            last
            and isinstance(node, Mapping)
            and step not in _UNION_TAGS
            and node.get("type") != step
        ):
            path.append(str(step))
    return ".".join(path)
