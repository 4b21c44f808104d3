"""README and docs: every command in them parses, and runs unless the page says why not."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest
import yaml

from skewless.commands.parser import command_line
from skewless.commands.table import COMMANDS
from skewless.schemas import parse
from skewless.schemas.examples.generators import EXAMPLES, spec_path, write_table
from skewless.schemas.examples.reviews import generate
from tests.documented import ROOT, Block, blocks, commands, given, pages, run_script

BASH = blocks("bash")
# Pages are written for more rows and seeds than a test needs, and for streams that do not end.
SHORTER = {
    r"--rows \d+": "--rows 600",
    r"--seeds \d+": "--seeds 2 --epochs 1",
    r"--merge (\w+),[\w,]*(,\w+)": r"--merge \1\2",
    r"--follow windows": "--follow windows --idle-timeout 1",
}


def _named(found: list[Block]) -> list[object]:
    return [pytest.param(block, id=f"{block.page}:{block.line}") for block in found]


def _parser(command: str) -> argparse.ArgumentParser:
    return command_line([command])


def _options(command: str) -> set[str]:
    parser = _parser(command)
    (children,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return set(children.choices[command]._option_string_actions)


def test_every_fence_names_its_language() -> None:
    known = {"bash", "text", "yaml", "python", "diff", "json", "dockerfile"}
    odd = [
        f"{block.page}:{block.line}: {block.language or 'no language'}"
        for block in blocks()
        if block.language not in known
    ]
    assert not odd, "say bash for commands, text for what they print"


@pytest.mark.parametrize("block", _named(BASH))
def test_skewless_commands_parse(block: Block) -> None:
    for words in commands(block):
        if words[0] != "skewless":
            continue
        if "…" in words:
            assert {word.split("=")[0] for word in words if word.startswith("--")}
            continue
        known, unknown = _parser(words[1]).parse_known_args(words[1:])
        assert known.command == words[1]
        if unknown:
            assert COMMANDS[words[1]].beam, f"{words[1]} has no {unknown[0]}"
            assert all(word.startswith("--") for word in unknown), unknown


@pytest.mark.parametrize("block", _named(BASH))
def test_scripts_modules_and_targets_are_there(block: Block) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(block):
        if words[0] == "make":
            assert set(words[1:]) <= targets
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]) is not None, words[2]
        elif words[0] == "python" and words[1] != "rows.py":  # Extending makes it.
            assert (ROOT / words[1]).is_file(), words[1]


def test_a_synopsis_names_options_that_are_there() -> None:
    checked = 0
    for block in blocks("text"):
        command = ""
        for line in block.text.splitlines():
            if line.startswith("skewless "):
                command = line.split()[1]
            elif not line.startswith(" "):
                command = ""
            if command:
                found = re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", line)
                named = {option for option in found if not option.startswith("-n ")}
                assert named <= _options(command), f"{block.page}: {command}"
                checked += len(named)
    assert checked > 50


def test_what_is_not_run_says_why() -> None:
    reasons = {f"{block.page}:{block.line}": block.not_run for block in BASH if block.not_run}
    for place, reason in reasons.items():
        print(f"not run: {place}: {reason}")
        assert len(reason.split()) > 1, place
    assert len(reasons) < len(BASH) / 2


@pytest.mark.parametrize(
    "block", _named([block for block in blocks("yaml") if block.page != "docs/extending.md"])
)
def test_specs_load(block: Block) -> None:
    document = yaml.safe_load(block.text)
    if "name" in document:
        parse(document)


@pytest.mark.parametrize("block", _named(blocks("python")))
def test_python_is_python(block: Block) -> None:
    ast.parse(block.text)


def test_each_example_has_its_recipe() -> None:
    shown = [block.text for block in blocks("yaml") if block.page == "docs/recipes.md"]
    assert shown == [
        spec_path(yaml.safe_load(text)["name"]).read_text(encoding="utf-8") for text in shown
    ]
    assert {yaml.safe_load(text)["name"] for text in shown} == set(EXAMPLES)


def test_every_page_is_in_the_menu() -> None:
    menu = re.findall(r'"([\w-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(menu) == sorted(path.name for path in pages()[1:])


def test_the_site_builds_without_a_broken_link_and_fetches_nothing(tmp_path: Path) -> None:
    config = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    (tmp_path / "zensical.toml").write_text(config, encoding="utf-8")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    done = subprocess.run(
        [Path(sys.executable).parent / "zensical", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / "out" / "site"
    assert len(list(site.glob("*.html"))) >= len(pages()) - 1
    for page in site.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="?(https?:[^" >]*)', text)
        fetched += re.findall(r'<link[^>]*href="?(https?:[^" >]*)', text)
        assert not fetched, page.name


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pages find: reviews in several formats, their records, two runs and a model."""
    folder = tmp_path_factory.mktemp("workshop")
    table = generate(600).table
    for name in ("reviews.csv", "new.csv", "data/1.csv", "new/1.csv", "arriving/1.jsonl"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_table(table, folder / name)
    (folder / "days").mkdir()
    write_table(table.slice(0, 300), folder / "days" / "1.parquet")
    write_table(table.slice(300), folder / "days" / "2.parquet")
    shutil.copyfile(spec_path("reviews"), folder / "reviews.yaml")
    (folder / "scripts").symlink_to(ROOT / "scripts")
    run_script(
        "skewless preprocess reviews.yaml --input reviews.csv --output records\n"
        "skewless train records --output run --epochs 1\n"
        "cp -r run another_run\n"
        "skewless export run --output served\n"
        'skewless stream reviews.yaml --source "dir://$PWD/arriving/*.jsonl" --transform records/transform '
        "--output windows --until-idle 0\n",
        folder,
    )
    return folder


def _run_page(page: str, run_with: str, workshop: Path, folder: Path) -> None:
    for name in given(page):
        source = workshop / name
        if source.is_symlink():
            (folder / name).symlink_to(source.resolve())
        elif source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copyfile(source, folder / name)
    script = ""
    for block in blocks("yaml", "bash"):
        if block.page != page or block.not_run or block.run_with != run_with:
            continue
        first = block.text.splitlines()[0]
        if block.language == "yaml":
            if first.startswith("# ") and first.endswith(".yaml"):
                (folder / first.removeprefix("# ")).write_text(block.text, encoding="utf-8")
            continue
        # Servers are up already; their targets are checked above.
        script += "".join(
            f"{line}\n" for line in block.text.splitlines() if not line.startswith("make ")
        )
    for long, short in SHORTER.items():
        script = re.sub(long, short, script)
    run_script(script, folder)


RUN = sorted({block.page for block in BASH if not block.not_run and not block.run_with})


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_a_page_runs_from_top_to_bottom(page: str, workshop: Path, tmp_path: Path) -> None:
    _run_page(page, "", workshop, tmp_path)


def _python_of(page: str, workshop: Path, folder: Path, *, without: str = "no such word") -> str:
    """Runs a page's Python blocks as one script; returns what it printed."""
    for name in given(page):
        (folder / name).symlink_to(workshop / name)
    code = "\n".join(
        block.text
        for block in blocks("python")
        if block.page == page and not re.search(without, block.text)
    )
    if "import torch" in code:
        code = f"import torch\n{code}"  # As the page says: before TensorFlow.
    # Jobs start processes, which import the script again.
    (folder / "page.py").write_text(f'if __name__ == "__main__":\n{indent(code, "    ")}', "utf-8")
    return run_script("python page.py", folder)


@pytest.mark.slow
def test_the_page_on_python_runs_from_top_to_bottom(workshop: Path, tmp_path: Path) -> None:
    assert "eval accuracy" in _python_of("docs/api.md", workshop, tmp_path)


@pytest.mark.slow
def test_recipes_of_own_models_learn_and_are_exported(workshop: Path, tmp_path: Path) -> None:
    names = ["Keras", "loop", "JAX"]
    if importlib.util.find_spec("torch"):
        names.insert(2, "PyTorch")
    without = "no such word" if "PyTorch" in names else r"import torch|served-torch"
    printed = _python_of("docs/own-models.md", workshop, tmp_path, without=without)
    losses = dict(re.findall(r"^(\w+): train loss \[(.*)\]$", printed, re.MULTILINE))
    assert list(losses) == names
    for name in names:
        first, *_, last = map(float, re.findall(r"\d+\.\d+", losses[name]))
        assert last < first - 0.01, name
        assert (tmp_path / f"served-{ {'PyTorch': 'torch'}.get(name, name.lower()) }").is_dir()


@pytest.mark.flink
@pytest.mark.parametrize("page", sorted({block.page for block in BASH if block.run_with}))
def test_a_page_runs_on_flink(page: str, workshop: Path, tmp_path: Path, flink: None) -> None:
    _run_page(page, "flink", workshop, tmp_path)
