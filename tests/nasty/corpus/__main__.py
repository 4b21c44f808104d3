"""python -m tests.nasty.corpus [DIR]: prints the table of families; writes their files into DIR."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.nasty.corpus import Family, every_family, every_file

__all__ = ["table"]


def table(families: Sequence[Family]) -> str:
    """Returns the families as rows of Markdown, those of one text and outcome in one row."""
    rows: dict[tuple[str, str], list[Family]] = {}
    for family in families:
        rows.setdefault((family.about, family.outcome), []).append(family)
    lines = ["| input | files of | files | what becomes of them |", "|---|---|---|---|"]
    for (about, outcome), some in rows.items():
        formats = ", ".join(dict.fromkeys(family.format for family in some))
        count = sum(len(family.files) for family in some)
        lines.append(f"| {about} | {formats} | {count} | {outcome} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    for folder in map(Path, arguments):
        folder.mkdir(parents=True, exist_ok=True)
        for made in every_file():
            (folder / made.name).write_bytes(made.file.bytes())
    print(table(every_family()))


if __name__ == "__main__":
    main(sys.argv[1:])
