"""An exported model's files: a copy that is not finished, or not whole, is not opened, and said so."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from skewless.beam_pipelines.predict import predict
from skewless.model.explain import explain
from skewless.model.exported.served_model import ServedModel
from skewless.model.serve.models.registry import Models
from skewless.model.serve.monitoring.metrics import Metrics
from skewless.model.serve.tensorflow_serving.replies import status_reply
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.records.exported_files import (
    check_exported,
    load_description,
    write_description,
)
from tests.conftest import DataSet

DESCRIPTION = Path("assets.extra", "skewless.json")


@pytest.fixture
def model(shop_model: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(shop_model, tmp_path / "copy"))


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def relist(model: Path) -> None:
    """Swaps the digests of two files in the list."""
    document = json.loads((model / DESCRIPTION).read_text())
    files = document["files"]
    files["assets/text"], files["assets/user"] = files["assets/user"], files["assets/text"]
    (model / DESCRIPTION).write_text(json.dumps(document))


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda model: halve(model / "assets" / "text"), r"assets/text has \d+ bytes of \d+; copy"),
    (lambda model: flip(model / "assets" / "text"), "assets/text has other bytes than exported"),
    (lambda model: flip(model / "assets.extra" / "spec.yaml"), "assets.extra/spec.yaml has other"),
    (lambda model: halve(model / "saved_model.pb"), r"saved_model.pb has \d+ bytes of"),
    (lambda model: (model / "fingerprint.pb").unlink(), "fingerprint.pb cannot be read"),
    (lambda model: shutil.rmtree(model / "variables"), "variables/variables.index cannot be read"),
    (lambda model: (model / "assets" / "tags").unlink() or (model / "assets" / "tags").symlink_to(
        "/nowhere"), "assets/tags cannot be read"),
    (lambda model: (model / "saved_model.cpb").write_bytes(b"x"), "saved_model.cpb is not among"),
    (lambda model: halve(model / DESCRIPTION), "skewless.json: cannot be read"),
    (relist, "skewless.json: is not as it was written"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), DAMAGES, ids=[said[:30] for _, said in DAMAGES])
def test_what_is_not_as_exported_is_named(
    damage: Callable[[Path], object], said: str, model: Path
) -> None:
    check_exported(model)
    damage(model)
    with pytest.raises(DataError, match=said):
        check_exported(model)


def test_whatever_opens_a_model_checks_it(shop: DataSet, model: Path, tmp_path: Path) -> None:
    flip(model / "assets" / "text")
    for opened in (
        lambda: ServedModel.open(model),
        lambda: explain(model, {"text": "a"}),
        lambda: predict(model, [str(shop.source)], tmp_path / "out"),
    ):
        with pytest.raises(DataError, match="assets/text has other bytes"):
            opened()
    assert not (tmp_path / "out").exists()
    (model / DESCRIPTION).unlink()
    with pytest.raises(UsageError, match=r"found no assets.extra/skewless.json, which is written"):
        ServedModel.open(model)


def test_a_model_where_tensorflow_finds_none_is_refused(model: Path, tmp_path: Path) -> None:
    moved = model.rename(tmp_path / "model [1]")
    with pytest.raises(UsageError, match="with a bracket in it; choose another path"):
        ServedModel.open(moved)


def test_others_may_put_warm_up_requests_beside_it(model: Path) -> None:
    (model / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"x")
    (model / ".DS_Store").write_bytes(b"x")
    check_exported(model)


def test_lists_of_earlier_versions(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    document = load_description(model)
    del document["bytes"]
    (model / DESCRIPTION).write_text(json.dumps(document))
    check_exported(model)
    halve(model / "assets" / "text")
    with pytest.raises(DataError, match="assets/text has other bytes"):
        check_exported(model)
    del document["files"]
    (model / DESCRIPTION).write_text(json.dumps(document))
    with caplog.at_level(logging.WARNING):
        check_exported(model)
    assert "was exported before files were listed" in caplog.text


@pytest.mark.slow
def test_a_version_is_served_once_its_copy_is_whole(shop_model: Path, tmp_path: Path) -> None:
    root = tmp_path / "versions"
    shutil.copytree(shop_model, root / "1")
    models = Models.one(root, Metrics())

    def state(version: int) -> tuple[str, str]:
        asyncio.run(models.refresh())
        reply = status_reply(models.statuses("shop", version)).model_version_status[0]
        return type(reply).State.Name(reply.state), reply.status.error_message

    assert state(1) == ("AVAILABLE", "")
    whole = (shop_model / "assets" / "text").read_bytes()
    half = root / "2"
    shutil.copytree(shop_model, half, ignore=shutil.ignore_patterns("skewless.json", "text"))
    assert "found no assets.extra/skewless.json" in state(2)[1]
    (half / "assets" / "text").write_bytes(whole[: len(whole) // 2])
    shutil.copy2(shop_model / DESCRIPTION, half / DESCRIPTION)
    found, error = state(2)
    assert (found, "assets/text has" in error) == ("END", True)
    assert models.only is not None and models.only.current is not None
    assert models.only.current.version == 1
    # A link to nothing, in a version or as one, and one not readable, stop no other.
    (root / "3" / "variables").mkdir(parents=True)
    (root / "3" / "saved_model.pb").symlink_to("nowhere")
    (root / "4").symlink_to("nowhere")
    shutil.copytree(half, root / "5")
    (root / "5" / "variables" / "linked").symlink_to("nowhere")
    assert state(5)[0] == "END"
    (half / "assets" / "text").write_bytes(whole)
    assert state(2) == ("AVAILABLE", "")
    # Another spec under the name that is served: taken, and told.
    other = Path(shutil.copytree(shop_model, root / "6"))
    spec = other / "assets.extra" / "spec.yaml"
    changed = (
        spec.read_text()
        .replace("name: shop", "name: stall")
        .replace("column: rating", "column: stars")
    )
    spec.write_text(changed)
    write_description(other, load_description(other))
    asyncio.run(models.refresh())
    note = models.statuses("stall", 6)[6].note
    assert "its spec is 'stall', that of version 2 before it 'shop'" in note
    assert "predicts stars (binary), not rating (binary)" in note
