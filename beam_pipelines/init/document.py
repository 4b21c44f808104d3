"""The proposal as a commented spec file, as a table and as JSON."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from skewless.beam_pipelines.init.features import Guess
from skewless.beam_pipelines.init.proposal import NO_KEY, Proposal
from skewless.schemas.errors import listed

__all__ = ["as_json", "as_table", "as_yaml"]

_WIDTH = 98
_MOST_OF_A_KIND = 100
_MOST_IN_A_LINE = 50
_VALUES_OF_YAML = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


def as_yaml(proposal: Proposal, inputs: Sequence[str]) -> str:
    """Returns the spec file: each declaration under the figures it was chosen by."""
    document = proposal.document
    lines = _comment(
        f"Guessed by `skewless init` from {', '.join(inputs)}: {_rows(proposal)}. "
        "Every choice is a first one; the comments say what it rests on."
    )
    for key, value in document.items():
        if key == "features":
            lines += ["features:"]
            for name, guess in proposal.features.items():
                lines += _comment(guess.why, "  ")
                lines.append(f"  {_flow(name)}: {_folded(value[name])}")
            lines += _omitted(proposal.omitted)
        elif key == "label" and proposal.label is not None:
            lines += ["", *_comment(proposal.label.why), f"label: {_flow(value)}"]
            lines += [f"# or  label: {other}" for other in proposal.label.otherwise]
        elif key == "labels":
            lines += ["", "labels:"]
            for name, label in proposal.labels.items():
                lines += _comment(label.why, "  ")
                lines.append(f"  {_flow(name)}: {_flow(value[name])}")
                lines += [f"  # or  {_flow(name)}: {other}" for other in label.otherwise]
        else:
            lines += [""] if key == "split" else []
            for seen in proposal.sample.seen if key == "csv" else ():
                lines += _comment(f"{seen[:1].upper()}{seen[1:]}.")
            lines.append(f"{key}: {_flow(value)}")
        if key == "name" and NO_KEY in proposal.warnings:
            lines += _comment(NO_KEY)
    if "label" not in document and document["model"].get("type") == "two_tower":
        lines += [
            "",
            "# Every row counts: a query that met its candidate. Or only those that went well:",
        ]
        lines.append("# label: {column: NAME, type: binary}")
    elif not proposal.labels:
        lines += ["", "# There is no label yet; training needs one:"]
        lines.append("# label: {column: NAME, type: binary}")
    return "\n".join(lines) + "\n"


def as_table(proposal: Proposal) -> str:
    """Returns what each column was taken for and why, what is left out below."""
    rows: list[tuple[str, str, str]]
    rows = [(_plain(guess.column), guess.kind, guess.why) for guess in proposal.features.values()]
    for label in proposal.labels.values():
        declared = label.declared
        rows.append((declared["column"], f"label: {declared['type']}", label.why))
    omitted: list[tuple[str, str, str]]
    shown, rest = _shortened(proposal.omitted)
    omitted = [(_plain(guess.column), guess.kind, guess.why) for guess in shown]
    widths = [max(len(row[place]) for row in (*rows, *omitted)) for place in (0, 1)]

    def line(row: tuple[str, str, str]) -> str:
        return f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {_printable(row[2])}"

    lines = [f"{_rows(proposal)}", "features:", *map(line, rows)]
    if omitted:
        lines += ["not features:", *map(line, omitted), *(f"  {more}" for more in rest)]
    lines += [f"look at {warning}" for warning in proposal.warnings]
    return "\n".join(lines)


def as_json(proposal: Proposal) -> str:
    """Returns the spec and the reasons as one JSON document."""

    def entry(guess: Guess, feature: str | None) -> dict[str, Any]:
        return {"column": guess.column, "kind": guess.kind, "why": guess.why, "feature": feature}

    sample = proposal.sample
    document = {
        "rows": {"sampled": sample.rows, "total": sample.total, "rejected": sample.rejected},
        "spec": proposal.document,
        "columns": [
            *(entry(guess, name) for name, guess in proposal.features.items()),
            *(entry(guess, None) for guess in proposal.omitted),
        ],
        "label": None if proposal.label is None else proposal.label.why,
        "labels": {} if proposal.label else {n: found.why for n, found in proposal.labels.items()},
        "warnings": list(proposal.warnings),
    }
    return json.dumps(document, ensure_ascii=False, indent=2)


def _rows(proposal: Proposal) -> str:
    sample = proposal.sample
    unread = f", {sample.rejected:,} more not readable" if sample.rejected else ""
    if sample.whole:
        return f"all {sample.rows:,} rows{unread}"
    return f"{sample.rows:,} of about {sample.total:,} rows{unread}"


def _omitted(guesses: Sequence[Guess]) -> list[str]:
    if not guesses:
        return []
    lines = ["  # Not features:"]
    shown, rest = _shortened(guesses)
    for guess in shown:
        lines += _comment(f"- {_plain(guess.column)} ({guess.kind}): {guess.why}", "  ")
    for more in rest:
        lines += _comment(f"- {more}", "  ")
    return lines


def _shortened(guesses: Sequence[Guess]) -> tuple[list[Guess], list[str]]:
    """Returns the first guesses of each kind, and a line for each kind that has more."""
    shown: list[Guess] = []
    more: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    for guess in guesses:
        counts[guess.kind] += 1
        if counts[guess.kind] <= _MOST_OF_A_KIND:
            shown.append(guess)
        else:
            more.setdefault(guess.kind, []).append(_plain(guess.column))
    return shown, [f"and more ({kind}): {listed(names)}" for kind, names in more.items()]


def _plain(name: str) -> str:
    """Returns a column's name as it can be printed, whatever characters are in it."""
    return name if name.isprintable() else json.dumps(name)


def _printable(text: str) -> str:
    """Returns a reason with what no YAML and no terminal should see as escapes."""
    return "".join(
        character if character.isprintable() else json.dumps(character)[1:-1] for character in text
    )


def _comment(text: str, indent: str = "") -> list[str]:
    mark = f"{indent}# "
    text = _printable(" ".join(text.split()))
    return textwrap.wrap(
        text, _WIDTH, initial_indent=mark, subsequent_indent=mark, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _folded(feature: Mapping[str, Any]) -> str:
    """Returns a declaration in flow style; a long list of columns goes on in lines of its own."""
    columns = feature.get("columns", ())
    if len(columns) <= _MOST_IN_A_LINE:
        return _flow(feature)
    lines = [""]
    for column in columns:
        item = f"{_flow(column)}, "
        if len(lines[-1]) + len(item) > _WIDTH - 4:
            lines.append("")
        lines[-1] += item
    rest = _flow({key: value for key, value in feature.items() if key != "columns"})
    text = "".join(f"\n    {line.rstrip()}" for line in lines).removesuffix(",")
    return f"{rest[:-1]}, columns: [{text}]}}"


def _flow(value: Any) -> str:
    """Returns a value in YAML's flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z_][\w./-]*", value, re.ASCII)
        # YAML reads words such as yes and null as values.
        if plain and value.lower() not in _VALUES_OF_YAML:
            return value
        # As escapes: line ends other than \n, and what YAML does not allow.
        return json.dumps(value, ensure_ascii=not value.isprintable())
    return json.dumps(value)
