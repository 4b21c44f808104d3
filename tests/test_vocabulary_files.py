"""Declared vocabulary files: their copies for a graph."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.vocabulary_files import VocabularyFiles
from skewless.schemas import parse

_SCRIPT = """
import sys
from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.vocabulary_files import VocabularyFiles
from skewless.schemas import parse

feature = {"type": "categorical", "vocabulary": {"file": sys.argv[1]}, "embedding": 2}
spec = parse({"name": "words", "features": {"word": feature}, "label": {"column": "y", "type": "binary"}})
print(VocabularyFiles(spec, Constants()).path("word"))
"""


@pytest.mark.slow
def test_copies_are_gone_when_their_process_is(tmp_path: Path) -> None:
    words, scratch = tmp_path / "words.txt", tmp_path / "scratch"
    words.write_text("a\nb\n", encoding="utf-8")
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(words)],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(scratch))
    assert list(scratch.iterdir()) == []


def test_a_second_command_of_a_process_has_copies_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("a\nb\n", encoding="utf-8")
    feature = {"type": "categorical", "vocabulary": {"file": str(words)}, "embedding": 2}
    label = {"column": "y", "type": "binary"}
    spec = parse({"name": "words", "features": {"word": feature}, "label": label})
    for command in ("first", "second"):
        folder = tmp_path / command
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        path = Path(VocabularyFiles(spec, Constants()).path("word"))
        assert path.is_relative_to(folder) and path.read_bytes() == words.read_bytes()
        shutil.rmtree(folder)  # As a command does at its end.
