"""A host that only serves: what it installs, and that the server needs no more."""

from __future__ import annotations

import importlib.metadata as metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from skewless.model.explain import explain
from tests.served_process import serving

ROOT = Path(__file__).parent.parent
SLIM = ROOT / "requirements-serve.txt"
ROW = {"text": "The great thing", "user": "u4", "age": 33.0}
# Loaded by Python before anything else of a process, and of those that it starts.
NOTHING_ELSE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def _name(text: str) -> str:
    return re.split(r"[=\[ ;]", text)[0].lower().replace("_", "-")


def _installed() -> set[str]:
    """Returns the packages of the slim installation."""
    return {_name(line) for line in SLIM.read_text("utf-8").splitlines() if "==" in line}


def test_its_packages_are_those_pinned_for_all_of_us_without_the_jobs() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "install_size", "--serving"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert SLIM.read_text("utf-8") == done.stdout, (
        "run: python scripts/install_size --serving > requirements-serve.txt"
    )
    assert not _installed() & {"apache-beam", "tensorflow-transform", "tfx-bsl", "scikit-learn"}
    assert {"tensorflow", "starlette", "pydantic"} <= _installed()


@pytest.mark.slow
def test_the_server_answers_where_nothing_else_is_installed(
    shop_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # tf.Transform sets it in this process; a host without it has none who does.
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    there = _installed() | {"skewless"}
    absent = {
        module
        for module, packages in metadata.packages_distributions().items()
        if not there & set(map(_name, packages))
    }
    assert {"apache_beam", "tensorflow_transform", "tfx_bsl", "pandas", "sklearn"} <= absent
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(NOTHING_ELSE.format(absent=absent), encoding="utf-8")
    expected = explain(shop_model, ROW).as_json()
    with serving(shop_model, tmp_path, modules=[hidden]) as server:
        asked = {"signature_name": "predict_columns", "instances": [ROW]}
        answer = server.http.post("/v1/models/shop:predict", json=asked)
        assert answer.json()["predictions"][0] == pytest.approx(
            expected["predictions"]["predictions"], abs=1e-6
        )
        told = server.http.post("/explain", json={"row": ROW}).json()
        assert told["score"] == pytest.approx(expected["score"], abs=1e-6)
        assert "<h1>shop</h1>" in server.http.get("/").text
        assert server.http.get("/v2/models/shop").status_code == 200
        assert "skewless_requests_total" in server.http.get("/metrics").text
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "shop"
        row = tf.train.Example().SerializeToString()
        request.inputs["examples"].CopyFrom(tf.make_tensor_proto([row]))
        assert server.predictions().Predict(request, timeout=60).outputs["predictions"].float_val
