"""Drift and the distributions that it compares, against closed forms."""

from __future__ import annotations

import socket
import threading
from datetime import datetime, timezone

import numpy as np
import pytest

from skewless.beam_pipelines.statistics.distribution import (
    id_cells,
    id_distribution,
    number_cells,
    number_distribution,
)
from skewless.beam_pipelines.statistics.drift import jensen_shannon, worst
from skewless.beam_pipelines.statistics.numeric_summary import NumericSummary
from skewless.beam_pipelines.streaming.drift_gate import DriftGate
from skewless.schemas.errors import UsageError
from skewless.schemas.records.manifest import Rows
from skewless.schemas.records.windows import WindowManifest


def test_the_same_shares_do_not_diverge() -> None:
    shares = np.array([0.5, 0.25, 0.25])
    assert jensen_shannon(shares, np.array([2000, 1000, 1000])) == 0.0


def test_nothing_in_common_is_one_bit() -> None:
    found = jensen_shannon(np.array([0.0, 1.0]), np.array([10**9, 0]))
    assert found == pytest.approx(1.0, abs=1e-6)


def test_a_known_divergence() -> None:
    # Shares (1, 0) and (1/2, 1/2): the middle is (3/4, 1/4).
    expected = 0.5 * np.log2(4 / 3) + 0.5 * (0.5 * np.log2(2 / 3) + 0.5 * np.log2(2))
    found = jensen_shannon(np.array([1.0, 0.0]), np.array([10**9, 10**9]))
    assert found == pytest.approx(expected, abs=1e-6)


def test_few_values_do_not_drift_by_chance() -> None:
    shares = np.full(50, 0.02)
    rng = np.random.default_rng(1)
    drifts = [jensen_shannon(shares, rng.multinomial(200, shares)) for _ in range(200)]
    assert np.mean(np.array(drifts, float)) < 0.01


def test_nothing_counted_says_nothing() -> None:
    assert jensen_shannon(np.array([0.5, 0.5]), np.array([0, 0])) is None


def test_ids_keep_a_cell_each() -> None:
    counts = np.array([0, 7, 5, 0, 10, 5])
    found = id_distribution(counts)
    # Padding and missing, IDs 0 and 1, are in no cell.
    assert found == {"ids": [2, 4, 5], "shares": [0.25, 0.5, 0.25, 0.0]}
    assert id_cells(np.array([0, 1, 3]), found["ids"]).tolist() == [3, 0, 0, 0]
    assert id_cells(np.array([0, 1, 3, 0, 0, 0, 0, 9]), found["ids"]).tolist() == [3, 0, 0, 9]
    assert id_distribution(np.zeros(0, np.int64)) == {"ids": [], "shares": []}


def test_numbers_have_cells_between_quantiles() -> None:
    summary = NumericSummary()
    summary.add(np.array([0, 0, 0, 1], np.float32))
    found = number_distribution(summary)
    assert found == {"edges": [0.0, 1.0], "shares": [0.75, 0.25, 0.0]}
    other = NumericSummary()
    other.add(np.array([-5, 0.5, 2, 3, np.nan], np.float32))
    assert number_cells(other, found["edges"]).tolist() == [1, 1, 2]
    assert number_distribution(NumericSummary()) == {"edges": [], "shares": []}


def test_the_worst_is_the_largest_whatever_its_sign() -> None:
    features = {
        "a": {"jensen_shannon": 0.1, "oov_share": {"training": 0.5, "window": 0.1}},
        "b": {"jensen_shannon": None, "missing_share": {"training": 0.0, "window": 0.3}},
    }
    assert worst(features) == {"feature": "a", "measure": "oov_share", "value": 0.4}
    assert worst({}) is None


def test_a_webhook_that_speaks_no_http_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is told of by its host: the path of many is a secret."""
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    drift = {"worst": {"feature": "user", "measure": "oov_share", "value": 1.0}}
    manifest = WindowManifest(
        start=start, end=start, pane=0, spec_sha256="", transform_sha256="", shards=(), features={},
        rows=Rows(read=0, written=0, rejected=0, duplicate=0), drift=drift,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as client:
                client.recv(1 << 16)
                client.sendall(b"220 mail.example ESMTP\r\n")

        threading.Thread(target=answer, daemon=True).start()
        gate = DriftGate(0.1, webhook=f"http://127.0.0.1:{server.getsockname()[1]}/hunter2")
        assert gate.passes("window=2026-01-01T00:00:00Z", manifest)
    assert "127.0.0.1: could not be told of drift in window=2026" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("url", ["hooks.example/x", "file:///etc/passwd", "http://", "http://h:x/"])
def test_a_webhook_is_a_url(url: str) -> None:
    with pytest.raises(UsageError, match=r"--drift-webhook .*: expected a URL such as https://"):
        DriftGate(0.1, webhook=url)
