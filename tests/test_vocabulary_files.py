"""Declared vocabulary files: their copies for a graph."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
