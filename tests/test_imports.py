"""The plan of the house: one direction of imports, no circle, small folders, one installed name."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "beam_pipelines", "model")
# What wires the three. The folders of `skewless/` that are links are the three themselves.
OWN = [ROOT / "skewless", ROOT / "skewless" / "commands", ROOT / "skewless" / "frames"]
DOOR = {
    "skewless.commands",
    "skewless.frames",
    *(f"skewless.{path.stem}" for path in OWN[0].glob("*.py")),
}
FORBIDDEN = {
    "schemas": {"skewless.beam_pipelines", "skewless.model", *DOOR},
    "beam_pipelines": {"skewless.model", *DOOR},
    "model": {"skewless.beam_pipelines", "tensorflow_transform", "apache_beam", *DOOR},
}
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def _name(path: Path) -> str:
    inside = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(["skewless", *inside]).removesuffix(".__init__")


MODULES = {_name(path): path for path in FILES}


def _imported(path: Path) -> Iterator[str]:
    """Yields the full name of each module that a file imports, also late ones within functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    names = list(_imported(path))
    # Under any other name a module would be loaded twice, and its classes be two.
    assert not {name.partition(".")[0] for name in names} & {*PACKAGES, "demo"}
    for name in names:
        for forbidden in FORBIDDEN[package]:
            assert name != forbidden and not name.startswith(f"{forbidden}.")


def _public(path: Path) -> set[str]:
    """Returns the functions and classes that a file defines for others."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, defined) and node.name[0] != "_"}


def _place(name: str) -> tuple[int, str]:
    """Sorts constants before classes before functions, as ruff does."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_imports_have_no_circle() -> None:
    imports = {
        name: {other for other in _imported(path) if other in MODULES and other != name}
        for name, path in MODULES.items()
    }
    assert len(list(TopologicalSorter(imports).static_order())) == len(MODULES)


def test_no_folder_holds_more_than_a_dozen_modules() -> None:
    own = [path for folder in OWN for path in folder.glob("*.py")]
    held = Counter(
        str(path.parent.relative_to(ROOT))
        for path in [*FILES, *own]
        if not path.stem.startswith("__")
    )
    assert not {folder for folder, modules in held.items() if modules > 12}


def test_an_installation_adds_one_name() -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    (listed,) = re.findall(r"packages=(\[.*?\])", setup, re.DOTALL)
    packages = ast.literal_eval(listed)
    folders = {_name(path) for path in FILES if path.stem == "__init__"}
    assert packages == ["skewless", *sorted({*folders, "skewless.commands", "skewless.frames"})]
    listing = (ROOT / "skewless").iterdir()
    real = {path for path in listing if path.is_dir() and not path.is_symlink()}
    assert {path for path in real if path.name != "__pycache__"} == set(OWN[1:])
    assert "py_modules" not in setup


def test_no_module_uses_legacy_keras() -> None:
    for path in FILES:
        assert "tf.keras" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_all_names_what_exists_and_is_sorted(path: Path) -> None:
    name = _name(path)
    module = importlib.import_module(name)
    # What runs a folder as a module, and a folder that offers nothing itself, say nothing.
    silent = path.stem == "__main__" or (path.stem == "__init__" and not _public(path))
    offered = getattr(module, "__all__", [] if silent else None)
    assert offered is not None, f"{name} has no __all__"
    assert offered == sorted(set(offered), key=_place), f"{name}.__all__ is not sorted"
    for entry in offered:
        assert hasattr(module, entry), f"{name}.__all__ names {entry}"


def test_loading_a_model_imports_all_that_keras_must_know() -> None:
    """A process that only loads, as `export` does, imports nothing of the network by itself."""
    registering = {
        name for name, path in MODULES.items() if "register_keras_serializable" in path.read_text()
    }
    reached, left = set[str](), ["skewless.model.training.run_directory"]
    while left:
        name = left.pop()
        if name in MODULES and name not in reached:
            reached.add(name)
            left += _imported(MODULES[name])
    assert len(registering) > 10
    assert registering <= reached
