"""The command line as a person meets it: exit codes, messages, and in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from skewless import cli
from skewless.commands.table import COMMANDS
from tests.conftest import DataSet

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "skewless", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        "import sys, skewless.cli\n"
        f"try: skewless.cli.main({[*([command] if command else []), '--help']!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'apache_beam', 'keras', 'pyarrow', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if command:
        for example in COMMANDS[command].examples:
            assert example in done.stdout


def test_no_command_is_wrong_use() -> None:
    assert run().returncode == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "/nowhere", "--output", "/tmp/x"], 1, "no manifest.json"),
        (["inspect", "/nowhere", "--splt", "eval"], 2, "did you mean '--split'?"),
        (["--quiet", "inspect", "/nowhere"], 1, "/nowhere"),
        (["inspct", "/nowhere"], 2, "no command 'inspct'; did you mean 'inspect'?"),
        (["preprocess", "/nowhere.yaml", "--input", "x.csv", "--output", "y"], 2, "cannot be read"),
    ],
)
def test_errors_name_the_remedy(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_dry_run_writes_nothing(
    shop: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["preprocess", str(shop.directory / "spec.yaml"), "--input", str(shop.source)]
    assert cli.main([*words, "--output", str(tmp_path / "out"), "--dry-run"]) == 0
    assert "1 files in 1 work units" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--transform", "expected the transform/ folder"),
        ("--grow-from", "expected the transform/ folder"),
        ("--histories-from", "the spec has no history; leave it out"),
    ],
)
def test_a_dry_run_looks_at_what_the_job_would_begin_with(
    option: str, message: str, shop: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["preprocess", str(shop.directory / "spec.yaml"), "--input", str(shop.source)]
    words += ["--output", str(tmp_path / "out"), "--dry-run", option, str(tmp_path / "none")]
    assert cli.main(words) != 0
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_is_told_as_json(shop: DataSet, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(shop.directory / "spec.yaml")
    words = ["preprocess", spec, "--input", str(shop.source), "--output", "out"]
    assert cli.main([*words, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == [str(shop.source)]
    assert told["columns"]["tags"] == {"kind": "string", "multivalued": True}
    assert told["first_labels"]["rows"] == sum(told["first_labels"]["values"].values()) == 400
    assert told["written"] is False


@pytest.mark.parametrize("share", ["nan", "-1", "5", "1%"])
def test_a_share_that_is_none_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["preprocess", "s.yaml", "--input", "x.csv", "--output", "out"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, f"--max-rejected={share}"])
    assert ended.value.code == 2
    assert f"expected a share from 0 to 1, such as 0.05, got '{share}'" in capsys.readouterr().err


def test_a_mistyped_required_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["preprocess", "s.yaml", "--input", "x.csv"], ["export", "run"]):
        with pytest.raises(SystemExit) as ended:
            cli.main([*words, "--ouput=out"])
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert "arguments are required: --output; --ouput is unknown" in said
        assert "did you mean '--output'?" in said


def test_what_is_given_without_an_option_is_said_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rest = ["--input", "x.csv", "--output", "out"]
    for words in (["--spec", "s.yaml"], ["--spec=s.yaml"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["preprocess", *words, *rest])
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert "--spec is unknown; give spec without an option: skewless preprocess spec …" in said


def test_a_mistyped_option_is_not_passed_over(
    shop: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["preprocess", str(shop.directory / "spec.yaml"), "--input", str(shop.source)]
    words += ["--output", str(tmp_path / "out"), "--max-rejectd", "0.5"]
    assert cli.main(words) == 2
    assert "unknown option --max-rejectd; did you mean '--max-rejected'?" in capsys.readouterr().err


def test_inspect_says_what_an_id_means(shop: DataSet) -> None:
    done = run("inspect", str(shop.directory), "--feature", "user", "--id", "1")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "(missing)", "")


def test_verify_reads_the_original_files(
    shop: DataSet, shop_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["verify", str(shop_model), "--records", str(shop.directory)]
    assert cli.main([*words, "--input", str(shop.source)]) == 0
    assert "parity holds: 400 rows" in capsys.readouterr().out
