"""Histories of a stream whose command is killed by SIGKILL: each row's is what a batch builds, however often."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from skewless.beam_pipelines.preprocess import preprocess
from skewless.beam_pipelines.stream import stream
from skewless.beam_pipelines.streaming.event_time import SECOND, Windowing
from skewless.schemas import parse
from skewless.schemas.errors import UsageError
from skewless.schemas.records.windows import finished_panes
from skewless.schemas.spec.yaml_document import write_yaml
from tests.cluster import BROKER, ROOT, produce, script
from tests.test_histories import WALKS, walks
from tests.test_preprocess import records_of
from tests.test_remote_windows import copied
from tests.test_stream import records_in


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec; records of all rows, and of the older half by the same transform; the rows of both."""
    root = tmp_path_factory.mktemp("killed")
    spec = parse(WALKS)
    (root / "spec.yaml").write_text(write_yaml(WALKS), encoding="utf-8")
    rows = sorted(walks(), key=lambda row: row["at"])
    for name, some in (("all", rows), ("old", rows[:250]), ("new", rows[250:])):
        lines = "".join(json.dumps(row) + "\n" for row in some)
        (root / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    preprocess(spec, [f"{root}/all.jsonl"], root / "every")
    transform = root / "every" / "transform"
    preprocess(spec, [f"{root}/old.jsonl"], root / "records", transform=transform)
    return root


def streaming(made: Path, source: str, output: Path, log: Path) -> subprocess.Popen[bytes]:
    """Starts the command, in a session of its own."""
    command = [
        *(sys.executable, "-m", "skewless", "stream", str(made / "spec.yaml")),
        *("--source", source, "--transform", str(made / "records" / "transform")),
        *("--histories-from", str(made / "records" / "pasts"), "--output", str(output)),
        *("--window=10s", "--timestamp-column=at", "--delay=0s", "--until-idle=0"),
    ]
    with log.open("ab") as file:
        return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)


def killed_and_gone_on_with(made: Path, source: str, folder: Path) -> Counter[bytes]:
    """Kills the command once some panes are there, twice, and lets a third one end; returns the records."""
    output, log = folder / "windows", folder / "log"
    seen: dict[str, str] = {}
    for more in (1, 3):
        process = streaming(made, source, output, log)
        try:
            while len(panes_of(output)) < len(seen) + more:
                assert process.poll() is None, log.read_text()[-3000:]
                time.sleep(0.02)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        now = panes_of(output)
        assert seen.items() <= now.items()
        seen = now
    assert len(seen) < 23, "all was written before the last kill"
    assert streaming(made, source, output, log).wait() == 0, log.read_text()[-3000:]
    assert seen.items() <= panes_of(output).items()
    return records_in(output)


def panes_of(output: Path) -> dict[str, str]:
    return {folder: manifest.id for folder, manifest in finished_panes(output)}


def newer(made: Path) -> Counter[bytes]:
    """Returns what a batch of all rows makes of the newer half."""
    every: Counter[bytes] = sum(records_of(made / "every").values(), Counter())
    old: Counter[bytes] = sum(records_of(made / "records").values(), Counter())
    assert sum((every - old).values()) == 230
    return every - old


@pytest.mark.slow
def test_files(made: Path, tmp_path: Path) -> None:
    assert killed_and_gone_on_with(made, f"dir://{made}/new.jsonl", tmp_path) == newer(made)


@pytest.mark.slow
def test_a_bucket_on_another_machine(
    made: Path, cache: Path, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = made / "records" / "pasts"
    seen: list[str] = []

    def streamed(histories_from: Path | None, panes: int) -> None:
        stream(
            parse(WALKS),
            f"dir://{made}/new.jsonl",
            made / "records" / "transform",
            uri,
            Windowing(size=100 * SECOND, column="at", delay=0),
            histories_from=histories_from,
            until_idle=0,
            committed=lambda folder, manifest: seen.append(folder) or len(seen) < panes,  # type: ignore[func-returns-value]
        )

    streamed(past, 2)
    monkeypatch.setenv("SKEWLESS_CACHE", str(tmp_path / "another machine"))
    with pytest.raises(UsageError, match="begin with other pasts than --histories-from says"):
        streamed(None, 99)
    streamed(past, 99)
    assert len(seen) == len(set(seen)) == 6
    assert records_in(copied(uri, tmp_path / "windows")) == newer(made)


@pytest.mark.kafka
@pytest.mark.slow
def test_a_topic(made: Path, kafka: None, tmp_path: Path) -> None:
    topic = f"pasts-{uuid.uuid4().hex[:8]}"
    script("kafka", "topic", topic, "--partitions", "2")
    produce(topic, (made / "new.jsonl").read_text(encoding="utf-8").splitlines())
    found = killed_and_gone_on_with(made, f"kafka://{BROKER}/{topic}", tmp_path)
    assert found == newer(made)
