"""What a person at a terminal sees, and what a pipe, a script and a shell's completion get."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from skewless.model.training import callbacks
from skewless.model.training.checkpoints import Progress
from skewless.schemas.progress import Status
from tests.conftest import DataSet
from tests.terminal import on_a_terminal

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "skewless"]
COLOUR = re.compile(r"\x1b\[[0-9;]*[34][0-9][0-9;]*m")
TOLD = re.compile(r"\d rows/s.*left")
WORK = """
import itertools, logging, sys
sys.path.insert(0, {root!r})
logging.basicConfig(level=logging.INFO, format="%(message)s")
from skewless.schemas.progress import ProgressLine, Status
seconds = itertools.count(0, 11)
with ProgressLine(clock=lambda: next(seconds)) as line:
    for rows in range(1000, 4000, 1000):
        line.tell(Status("writing", rows, 500.0, rows / 4000, (4000 - rows) / 500))
print("done")
"""


def work(tmp_path: Path) -> list[str]:
    path = tmp_path / "work.py"
    path.write_text(WORK.format(root=str(ROOT)), encoding="utf-8")
    return [sys.executable, str(path)]


def test_a_terminal_gets_one_live_line(tmp_path: Path) -> None:
    code, written = on_a_terminal(work(tmp_path), {"TERM": "xterm-256color", "NO_COLOR": ""})
    assert code == 0
    assert TOLD.search(written)
    assert COLOUR.search(written)
    assert (
        "\x1b[2K" in written
    )  # Each line is drawn over the one before, and the last is taken away.
    assert written.rstrip().endswith("done")


def test_no_color_is_honoured(tmp_path: Path) -> None:
    code, written = on_a_terminal(work(tmp_path), {"TERM": "xterm-256color", "NO_COLOR": "1"})
    assert code == 0
    assert TOLD.search(written)
    assert not COLOUR.search(written)


def test_a_pipe_and_a_dumb_terminal_get_plain_lines(tmp_path: Path) -> None:
    code, written = on_a_terminal(work(tmp_path), {"TERM": "dumb"})
    piped = subprocess.run(work(tmp_path), capture_output=True, text=True, check=True)
    assert code == 0
    lines = [
        "writing: 1,000 rows, 500 rows/s, 25%, 6 s left",
        "writing: 2,000 rows, 500 rows/s, 50%, 4 s left",
        "writing: 3,000 rows, 500 rows/s, 75%, 2 s left",
    ]
    assert written.split("\r\n")[:3] == lines
    assert piped.stderr.splitlines() == lines


def test_time_left_is_told_of_many_short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Status] = []
    clock = [0.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(callbacks.ProgressLine, "is_due", True)
    monkeypatch.setattr(callbacks.ProgressLine, "tell", lambda self, status: told.append(status))
    progress = Progress()
    teller = callbacks.TellProgress(progress, steps=4, epochs=50, batch_size=8)
    for epoch in range(6):
        progress.epoch = epoch
        teller.on_epoch_begin(epoch)
        for batch in range(4):
            clock[0] += 30.0 if (epoch, batch) == (0, 0) else 0.5  # The first step traces.
            teller.on_train_batch_end(batch, {"loss": 0.5})
        teller.on_epoch_end(epoch)
    assert told[3].seconds_left is None  # Too early to say.
    assert told[-1].seconds_left == pytest.approx((50 * 4 - 6 * 4) * 0.5)
    assert str(told[-1]) == "epoch 6/50: 32 rows, 16 rows/s, 12%, 1 min 28 s left, loss 0.5000"


@pytest.mark.slow
def test_training_tells_rates_and_time_left(shop: DataSet, tmp_path: Path) -> None:
    command = [*COMMAND, "train", str(shop.directory), "--output", str(tmp_path / "run")]
    code, written = on_a_terminal(
        [*command, "--epochs", "60"], {"TERM": "xterm-256color", "COLUMNS": "120"}
    )
    assert code == 0, written
    assert re.search(r"epoch \d+/60 .*\d rows/s.*left.*loss", written)
    assert '"eval"' in written


@pytest.mark.slow
def test_preprocess_tells_a_script_and_nobody_of_type_hints(shop: DataSet, tmp_path: Path) -> None:
    arguments = ["preprocess", str(shop.directory / "spec.yaml"), "--input", str(shop.source)]
    done = subprocess.run(
        [*COMMAND, *arguments, "--output", str(tmp_path / "out"), "-v", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["rows"] == {"read": 400, "written": 400, "rejected": 0, "duplicate": 0}
    assert sum(document["splits"].values()) == 400
    assert "planned: 1 work unit of 1 file" in done.stderr
    assert "type hint" not in done.stderr
    assert not (tmp_path / "out" / "temporary").exists()


@pytest.mark.parametrize("arguments", [["completion", "bash"], ["inspect", "{records}"]])
def test_a_reader_that_goes_away_ends_a_command_quietly(
    arguments: list[str], shop: DataSet
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    filled = [argument.format(records=shop.directory) for argument in arguments]
    done = subprocess.run(
        [*COMMAND, *filled], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_what_the_caller_closed_is_taken_for_nothing(tmp_path: Path) -> None:
    script = "from skewless import cli; cli.main = lambda: print('lost') or 0; cli.entry_point()"
    closed = f'"{sys.executable}" -c "$0" <&- >&- 2>"{tmp_path / "told"}"'
    done = subprocess.run(["bash", "-c", closed, script], cwd=ROOT, check=False)
    assert (done.returncode, (tmp_path / "told").read_text()) == (0, "")


def test_a_spec_goes_into_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,label\n" + "1,0\n2,1\n1,1\n2,0\n" * 30)
    asked = [*COMMAND, "init", str(tmp_path / "rows.csv"), "--quiet", "-o", "/dev/stdout"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "label: {column: label, type: binary}" in done.stdout


@pytest.fixture(scope="module")
def completion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "skewless.bash"
    done = subprocess.run([*COMMAND, "completion", "bash"], capture_output=True, check=True)
    path.write_bytes(done.stdout)
    return path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("skewless comp", {"compare", "completion"}),
        ("skewless preprocess --out", {"--output"}),
        ("skewless evaluate run --split t", {"train", "test"}),
        ("skewless inspect rec", {"records"}),
        ("skewless train records --output ru", {"run"}),
    ],
)
def test_bash_completes(words: str, expected: set[str], completion: Path, tmp_path: Path) -> None:
    for name in ("records", "run"):
        (tmp_path / name).mkdir()
    script = f"""
        source {completion}
        function=$(complete -p skewless | sed -E 's/.*-F ([^ ]+).*/\\1/')
        COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
        COMP_LINE="{words}"; COMP_POINT=${{#COMP_LINE}}
        $function skewless "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == expected, done.stderr
