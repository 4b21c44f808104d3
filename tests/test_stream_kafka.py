"""A Kafka topic streamed on this machine, by rounds: a real broker, and a command that is killed."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from skewless.beam_pipelines.stream import stream
from skewless.beam_pipelines.streaming.event_time import SECOND, Windowing
from skewless.beam_pipelines.streaming.kafka import topics
from skewless.beam_pipelines.streaming.kafka.client import KafkaClient, security_options
from skewless.beam_pipelines.streaming.kafka.on_flink import consumer_options
from skewless.beam_pipelines.streaming.kafka.topics import first_missing
from skewless.beam_pipelines.streaming.leftovers import SOURCES
from skewless.beam_pipelines.streaming.segments import StreamJob
from skewless.beam_pipelines.streaming.source_uri import Source
from skewless.schemas.errors import UsageError
from skewless.schemas.records.windows import finished_panes
from tests.cluster import BROKER, ROOT, SECURED, produce, script, within
from tests.conftest import DataSet
from tests.test_stream import Row, batch_records, records_in, rows, write

__all__ = ["rows"]


def test_the_first_offset_that_no_window_holds() -> None:
    held = [[0, 4], [5, 9], [12, 20]]
    assert [first_missing(begin, held) for begin in (0, 7, 10, 12, 30)] == [10, 10, 10, 21, 30]
    assert first_missing(3, []) == 3


def test_messages_that_the_broker_drops_after_they_were_read_are_not_told_as_lost(
    shop: DataSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What an earlier run left in windows is older than what the topic begins with by now."""
    low = 5
    monkeypatch.setattr(topics, "KafkaClient", lambda source: None)
    monkeypatch.setattr(topics.TopicFeed, "_partitions", lambda feed: [0])
    monkeypatch.setattr(topics.TopicFeed, "_watermarks", lambda feed, partition: (low, 20))
    monkeypatch.setattr(
        topics,
        "run_round",
        lambda job, work, write, options: [
            {"partition": 0, "reached": each.end, "arrival": 1, "segments": []} for each in work
        ],
    )
    job = StreamJob(shop.spec, str(tmp_path), Windowing(SECOND), "", {})
    feed = topics.TopicFeed(job, SOURCE, "json", ())
    done = {f"{SOURCE.name}/0": [[0, 7]]}
    assert feed.round(done) == []
    low = 15
    assert feed.round(done) is None
    assert not _warnings(caplog)
    # One that begins now has missed some.
    topics.TopicFeed(job, SOURCE, "json", ()).round(done)
    assert [record.args for record in _warnings(caplog)] == [(SOURCE.name, 0, 8, 14)]


def _warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Returns no other records: whether progress is logged depends on what ran before."""
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_no_broker_is_told_in_a_line(
    shop: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_ANSWER_SECONDS", 0.3)
    transform = shop.directory / "transform"
    with pytest.raises(UsageError, match=r"--source kafka://localhost:1/t: the broker does not"):
        stream(shop.spec, "kafka://localhost:1/t", transform, tmp_path / "out", Windowing(SECOND))


SOURCE = Source("kafka", "broker:9094", "t")


def test_security_comes_from_a_file_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert security_options(SOURCE) == {}
    file = tmp_path / "client.properties"
    file.write_text("# mine\n\nsasl.mechanism = PLAIN\nsasl.password=a=b\n", encoding="utf-8")
    monkeypatch.setenv("KAFKA_CLIENT_CONFIG", str(file))
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    monkeypatch.setenv("KAFKA_SSL_CA_LOCATION", "ca.pem")
    monkeypatch.setenv("KAFKA_PORT", "tcp://10.0.0.1:9092")  # As Kubernetes sets it.
    assert security_options(SOURCE) == {
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.password": "a=b",
        "ssl.ca.location": "ca.pem",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hunter2", r"client.properties:1: expected name=value"),
        ("sasl.pasword=hunter2", r"takes no such options: .*sasl.pasword.*; correct KAFKA_CLIENT_CONFIG"),
        ("security.protocol=hunter2\nsasl.password=hunter2", "takes no such options"),
        ("group.id=hunter2", "group.id is given by skewless itself; take it out"),
        (None, "expected a file of name=value lines, got"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_told_without_their_values(
    text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "client.properties"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("KAFKA_CLIENT_CONFIG", str(file))
    with pytest.raises(UsageError, match=message) as told:
        KafkaClient(SOURCE)
    assert ("hunter2" not in str(told.value) and told.value.__cause__ is None) or text is None


def test_flink_is_given_javas_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {"bootstrap.servers": SOURCE.place, "auto.offset.reset": "earliest", "group.id": "skewless-t"}  # fmt: skip
    assert consumer_options(SOURCE) == ours
    (tmp_path / "ca.pem").write_text("-----BEGIN", encoding="utf-8")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "sasl_ssl")
    monkeypatch.setenv("KAFKA_SASL_MECHANISMS", "SCRAM-SHA-512")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "me")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", 'a"b\\')
    monkeypatch.setenv("KAFKA_SSL_CA_LOCATION", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("KAFKA_SSL_KEY_PEM", "key")
    monkeypatch.setenv("KAFKA_SSL_KEY_PASSWORD", "secret")
    monkeypatch.setenv("KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM", "none")
    assert consumer_options(SOURCE) == {
        **ours,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
        r'username="me" password="a\"b\\";',
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": "-----BEGIN",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.key": "key",
        "ssl.key.password": "secret",
        "ssl.endpoint.identification.algorithm": "",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sasl.username=me\nsasl.password=hunter2", "sasl.mechanism: expected PLAIN, .* got none; for another"),
        ("sasl.mechanism=PLAIN\nsasl.password=hunter2", "sasl.username is missing; add it"),
        ("group.id=hunter2", "group.id is given by skewless itself; take it out"),
        ("enable.ssl.certificate.verification=hunter2", "knows no enable.ssl.certificate.verification"),
        ("ssl.ca.location=/not/there", "ssl.ca.location /not/there: expected a file of PEM"),
    ],
)  # fmt: skip
def test_options_that_flink_cannot_be_given_are_told_without_their_values(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "client.properties").write_text(text, encoding="utf-8")
    monkeypatch.setenv("KAFKA_CLIENT_CONFIG", str(tmp_path / "client.properties"))
    with pytest.raises(UsageError, match=message) as told:
        consumer_options(SOURCE)
    assert "hunter2" not in str(told.value)


@pytest.mark.kafka
@pytest.mark.slow
def test_a_broker_that_wants_tls_and_a_password(
    shop: DataSet, rows: list[Row], kafka: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = f"secured-{uuid.uuid4().hex[:8]}"
    script("kafka", "topic", topic, "--partitions", "2")
    produce(topic, map(json.dumps, rows[:300]))
    (tmp_path / "spec.yaml").write_text(shop.spec.to_yaml(), encoding="utf-8")
    command = [
        sys.executable, "-m", "skewless", "stream", str(tmp_path / "spec.yaml"), "--source", f"kafka://{SECURED}/{topic}",
        "--transform", str(shop.directory / "transform"), "--timestamp-column", "at", "--window", "60s",
        "--until-idle", "3",
    ]  # fmt: skip

    def streamed(output: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "--output", str(tmp_path / output)],
            cwd=ROOT,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    config = Path(script("kafka", "secured").strip())
    done = streamed("windows", KAFKA_CLIENT_CONFIG=str(config))
    assert done.returncode == 0, done.stderr
    found = records_in(tmp_path / "windows")
    assert found.total() == 300
    options = dict(line.split("=", 1) for line in config.read_text("utf-8").splitlines())
    assert options["sasl.password"] not in done.stdout + done.stderr
    for wrong, why in (
        ({"KAFKA_SASL_PASSWORD": "hunter2"}, "Authentication failed"),
        ({"KAFKA_SSL_CA_LOCATION": "/etc/ssl/certs/ca-certificates.crt"}, "certificate"),
    ):
        refused = streamed("none", KAFKA_CLIENT_CONFIG=str(config), **wrong)
        assert refused.returncode == 2
        assert "the broker does not answer" in refused.stderr and why in refused.stderr
        assert refused.stderr.count("\n") == 1 and "hunter2" not in refused.stderr


@pytest.mark.kafka
def test_a_topic_that_is_not_there_is_refused(shop: DataSet, kafka: None, tmp_path: Path) -> None:
    transform = shop.directory / "transform"
    with pytest.raises(UsageError, match="the broker has no topic 'not-there'"):
        stream(
            shop.spec, f"kafka://{BROKER}/not-there", transform, tmp_path / "o", Windowing(SECOND)
        )


@pytest.mark.kafka
@pytest.mark.slow
def test_a_killed_command_is_gone_on_with(
    shop: DataSet,
    rows: list[Row],
    kafka: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic, output = f"rounds-{uuid.uuid4().hex[:8]}", tmp_path / "windows"
    script("kafka", "topic", topic, "--partitions", "2")
    sent: list[Row] = []
    ended = threading.Event()

    def messages() -> Iterator[str]:
        for number in itertools.count():
            if ended.is_set():
                return
            # Some are of a later window, so that windows hold offsets with gaps between.
            at = int(time.time() * 1000) + 20_000 * (number % 5 == 0)
            row = {**rows[number % len(rows)], "id": f"k{number}", "at": at}
            if number % 97 == 0:
                row["age"] = "old"
            sent.append(row)
            yield json.dumps(row)

    sender = threading.Thread(target=produce, args=(topic, messages()), kwargs={"rate": 100})
    sender.start()
    try:
        # Killed wherever it is then: in a round, while panes are written, or between.
        _killed_after(2, shop, topic, output, tmp_path / "command.log")
    finally:
        ended.set()
        sender.join()
    before = {folder: manifest.id for folder, manifest in finished_panes(output)}
    # Several rounds, of some partitions less than there is.
    monkeypatch.setattr(topics, "_ROUND_MESSAGES", 300)
    transform, windowing = shop.directory / "transform", Windowing(2 * SECOND, column="at")
    stream(shop.spec, f"kafka://{BROKER}/{topic}", transform, output, windowing, until_idle=1.5)
    after = dict(finished_panes(output))
    assert {folder: after[folder].id for folder in before} == before
    assert sum(manifest.rows.read for manifest in after.values()) == len(sent)
    write(tmp_path / "sent.jsonl", sent)
    assert records_in(output) == batch_records(shop, [tmp_path / "sent.jsonl"], tmp_path / "batch")
    offsets: Counter[tuple[str, int]] = Counter()
    for folder in after:
        for source, ranges in json.loads((output / folder / SOURCES).read_text()).items():
            offsets.update((source, n) for first, last in ranges for n in range(first, last + 1))
    assert offsets.total() == len(sent)
    assert set(offsets.values()) == {1}
    print(f"{len(sent)} rows sent, {len(after)} panes, {len(before)} of them before the last start")


def _killed_after(panes: int, shop: DataSet, topic: str, output: Path, log: Path) -> None:
    """Starts the command; kills it, and its workers, once there are so many panes."""
    command = [
        *(sys.executable, "-m", "skewless", "stream", str(shop.directory / "spec.yaml")),
        f"--source=kafka://{BROKER}/{topic}",
        f"--transform={shop.directory / 'transform'}",
        f"--output={output}",
        *("--window=2s", "--timestamp-column=at", "--delay=0s"),
    ]
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True
        )
    try:
        came = within(400, lambda: len(list(finished_panes(output))) >= panes)
        assert process.poll() is None and came, log.read_text()[-3000:]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
