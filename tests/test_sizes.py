"""How large a function may be: code that is read at a glance, asked for in few words."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parent.parent
FOLDERS = ("schemas", "beam_pipelines", "model", "skewless", "skewless/commands")
MOST_LINES = 60
MOST_PARAMETERS = 7
# What people call with named options; each hands them on as the fields of frozen types.
PUBLIC = {
    "beam_pipelines/index.py:index",
    "beam_pipelines/predict.py:predict",
    "beam_pipelines/preprocess.py:preprocess",
    "beam_pipelines/stream.py:stream",
    "model/compare.py:compare",
    "model/follow.py:follow",
    "model/train.py:train",
    "skewless/records.py:preprocess",
    "skewless/run.py:train",
    "skewless/served.py:index",
}
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def _functions() -> Iterator[tuple[str, Function]]:
    for folder in FOLDERS:
        pattern = "*.py" if folder.startswith("skewless") else "**/*.py"
        for path in sorted((ROOT / folder).glob(pattern)):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, Function):
                    yield f"{path.relative_to(ROOT).as_posix()}:{node.name}", node


def _lines(function: Function) -> int:
    """Counts lines from `def` to the end, without those of the docstring."""
    total = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is None:
        return total
    return total - ((first.end_lineno or 0) - first.lineno + 1)


def _parameters(function: Function) -> int:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return len(named) - (bool(named) and named[0].arg in ("self", "cls"))


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = {name: _lines(function) for name, function in _functions()}
    assert len(lengths) > 1500
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_LINES}


def test_no_function_takes_many_parameters_but_the_public_ones() -> None:
    taken = {
        name: count
        for name, function in _functions()
        if (count := _parameters(function)) > MOST_PARAMETERS
    }
    assert taken.keys() == PUBLIC
