"""Fixtures shared by tests: a small data set that the real job wrote, and a run trained on it."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As commands set it: on processors where it is on by default, a process would round sums another way than
# those that it starts.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

from skewless.schemas import Spec, parse

hypothesis.settings.register_profile("dev", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

SHOP = {
    "name": "shop",
    "key": "id",
    "missing_values": ["?"],
    "features": {
        "text": {"type": "text", "length": 6, "vocabulary": {"max_size": 50}, "embedding": 8},
        "user": {
            "type": "categorical",
            "vocabulary": {"min_count": 2},
            "oov_buckets": 2,
            "embedding": 8,
        },
        "tags": {"type": "categorical", "length": 3, "separator": "|", "embedding": 4},
        "age": {"type": "numeric", "scale": "z_score", "missing": "median", "indicator": True},
        "price": {"type": "numeric", "buckets": 5, "embedding": 4},
        "vector": {"type": "numeric", "columns": ["v1", "v2"], "scale": "min_max"},
    },
    "label": {"column": "rating", "type": "binary", "positive": [4, 5]},
    "split": {"train": 0.7, "eval": 0.2, "test": 0.1},
    "keep": ["country"],
    "model": {"hidden": [16], "dropout": 0.2},
    "training": {"batch_size": 64, "epochs": 2, "learning_rate": 0.01},
}


# Seconds for a test of servers: it waits for them while other tests keep the machine busy.
SERVERS_TIMEOUT = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives tests that need servers their time."""
    for item in items:
        if item.get_closest_marker("flink") or item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.timeout(SERVERS_TIMEOUT))


@dataclass(frozen=True)
class DataSet:
    """A records directory, its spec, and the file it came from."""

    directory: Path
    spec: Spec
    source: Path


def shop_csv(path: Path, rows: int = 400, seed: int = 1) -> Path:
    """Writes rows whose rating follows from a word in the text and from the user."""
    rng = np.random.default_rng(seed)
    lines = ["id,text,user,tags,age,price,v1,v2,rating,country"]
    for row in range(rows):
        good = bool(rng.integers(2))
        words = [["bad", "awful"][rng.integers(2)], ["good", "great"][rng.integers(2)]][good]
        text = f"The {words} thing, {rng.choice(['red', 'blue', 'Été'])} {row % 7}"
        user = f"u{rng.integers(20)}" if row % 11 else "?"
        tags = "|".join(rng.choice(["a", "b", "c", "d"], rng.integers(0, 4)))
        age = "" if row % 9 == 0 else f"{rng.integers(18, 80)}"
        rating = rng.integers(4, 6) if good else rng.integers(1, 4)
        lines.append(
            f'r{row},"{text}",{user},{tags},{age},{rng.lognormal():.2f},'
            f"{rng.normal():.3f},{rng.normal():.3f},{rating},{['FR', 'DE', 'PE'][row % 3]}"
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own of what is fetched from URIs."""
    monkeypatch.setenv("SKEWLESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def uri() -> str:
    """A place in a store in memory where nothing is."""
    return f"memory://{uuid.uuid4().hex}/records"


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """The shop data set, written by the real job on the DirectRunner."""
    from skewless.beam_pipelines.preprocess import preprocess

    root = tmp_path_factory.mktemp("shop")
    source = shop_csv(root / "shop.csv")
    spec = parse(SHOP)
    preprocess(spec, [str(source)], root / "records")
    return DataSet(root / "records", spec, source)


@pytest.fixture(scope="session")
def grown_shop(shop: DataSet, tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """The shop data set and a day more, whose words, users and tags are partly new."""
    from skewless.beam_pipelines.preprocess import preprocess

    root = tmp_path_factory.mktemp("grown")
    text = shop_csv(root / "next.csv", rows=200, seed=2).read_text(encoding="utf-8")
    for old, new in (("\nr", "\ns"), ("great", "superb"), (",u1", ",n1"), ("|c|", "|new|")):
        text = text.replace(old, new)
    (root / "next.csv").write_text(text, encoding="utf-8")
    inputs = [str(shop.source), str(root / "next.csv")]
    preprocess(shop.spec, inputs, root / "records", grow_from=shop.directory / "transform")
    return DataSet(root / "records", shop.spec, root / "next.csv")


@pytest.fixture(scope="session")
def shop_run(shop: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the shop data set."""
    from skewless.model.train import train

    run = tmp_path_factory.mktemp("run") / "run"
    train(shop.directory, run)
    return run


@pytest.fixture(scope="session")
def shop_model(shop_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's exported model."""
    from skewless.model.export import export

    model = tmp_path_factory.mktemp("model") / "served"
    export(shop_run, model)
    return model


@pytest.fixture(scope="session")
def shop_server(shop_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server of that model, which many tests ask; bodies may be of 200,000 bytes."""
    from tests.served_process import serving

    folder = tmp_path_factory.mktemp("serve")
    with serving(shop_model, folder, "--max-body-bytes", "200000") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, installed if it is not there."""
    from playwright.sync_api import sync_playwright

    script = Path(__file__).parent.parent / "scripts" / "chromium"
    done = subprocess.run([script], capture_output=True, text=True, check=True, timeout=580)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=done.stdout.strip(), args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def flink() -> Iterator[None]:
    """A Flink cluster of two TaskManagers."""
    from tests.cluster import server

    yield from server("flink")


@pytest.fixture(scope="session")
def kafka() -> Iterator[None]:
    """A Kafka broker."""
    from tests.cluster import server

    yield from server("kafka")
