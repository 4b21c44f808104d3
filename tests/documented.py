"""The fenced blocks of README and docs, and the commands in them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Block", "blocks", "commands", "given", "pages", "run_script"]

ROOT = Path(__file__).parent.parent
_FENCE = re.compile(
    r"(?:^<!-- (?P<word>not run|run with): (?P<why>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_GIVEN = re.compile(r"<!-- given: (.*) -->")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
      page: Its file, from the repository's root.
      line: Where it begins.
      language: After the fence.
      text: What is in it.
      not_run: Why no test runs it; empty where one does.
      run_with: The server that it needs; empty for none.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str
    run_with: str


def pages() -> list[Path]:
    """Returns README and every page of the docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(*languages: str) -> list[Block]:
    """Returns the fenced blocks in one of the languages; all without any."""
    found = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            why = {match["word"]: match["why"]}
            block = Block(
                str(page.relative_to(ROOT)),
                text.count("\n", 0, match.start("language")) + 1,
                match["language"],
                match["text"],
                why.get("not run", ""),
                why.get("run with", ""),
            )
            if not languages or block.language in languages:
                found.append(block)
    return found


def given(page: str) -> list[str]:
    """Returns what a page's commands find in their directory, as the page says."""
    match = _GIVEN.search((ROOT / page).read_text(encoding="utf-8"))
    return match[1].split() if match else []


def commands(block: Block) -> Iterator[list[str]]:
    """Yields the words of each command line, without redirections and what follows a pipe."""
    text = re.sub(r"\$\([^)]*\)", "", block.text.replace("\\\n", " "))
    for line in text.splitlines():
        if "'{" in line and line.count("'") % 2:
            continue  # A request's body over several lines.
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        ends = [at for at, word in enumerate(words) if re.match(r"\d?[|&;<>]", word)]
        if words:
            yield words[: ends[0]] if ends else words


def run_script(script: str, folder: Path, project: Path = ROOT) -> str:
    """Runs a bash script as a reader would paste it; what it printed is shown when it fails.

    Args:
      script: Any number of lines; the first that fails ends it.
      folder: Where it runs.
      project: Whose modules it imports.

    Returns:
      What it printed.
    """
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(project),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout
