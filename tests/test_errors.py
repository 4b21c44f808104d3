"""Every error that is raised on purpose says what to do about it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from skewless import schemas
from skewless.schemas.errors import SkewlessError

ROOT = Path(__file__).parent.parent
ERRORS = {
    name
    for name in schemas.errors.__all__
    if isinstance(getattr(schemas.errors, name), type)
    and issubclass(getattr(schemas.errors, name), SkewlessError)
}
# What was expected is a remedy; so is a clause that tells what to do.
REMEDY = re.compile(
    r"expected|did you mean|(?:^|[;.,:}] |\}|\bor |\band )(?:please )?(?:add|apply|build|change|check|"
    r"choose|convert|correct|declare|end|export|give|go on|install|keep|leave|look|make|mend|move|"
    r"name|narrow|on this machine|preprocess|put|raise|read it|remove|rename|report|resume|run|see|"
    r"set|slice|start|stream|take|train|try|use|wait|write)\b|\bis for files\b|goes with|needs a label",
    re.IGNORECASE,
)
# Messages made elsewhere, where they are looked at: refusals of a spec, remedies of the caller.
ELSEWHERE = re.compile(
    r"remedy|nearest|in_words|wanted|problem|gate.failed|failure|str\(error\)|REMEDY"
)


def raised() -> Iterator[tuple[str, str]]:
    """Yields (place, message) of every `raise` of ours, with names of what is put in."""
    for package in ("schemas", "beam_pipelines", "model"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                call = node.exc if isinstance(node, ast.Raise) else None
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ERRORS:
                    place = f"{path.relative_to(ROOT)}:{call.lineno}"
                    yield place, _message(call.args[0]) if call.args else ""


def _message(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_message(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return f"{{{ast.unparse(node.value)}}}"
    if isinstance(node, ast.BinOp):
        return _message(node.left) + _message(node.right)
    return f"{{{ast.unparse(node)}}}"


MESSAGES = dict(raised())


def test_the_messages_are_found() -> None:
    assert len(MESSAGES) > 100


@pytest.mark.parametrize("place", MESSAGES)
def test_an_error_names_its_remedy(place: str) -> None:
    message = MESSAGES[place]
    assert REMEDY.search(message) or ELSEWHERE.search(message), f"{place}: {message}"
