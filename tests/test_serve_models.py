"""Several models from TensorFlow Serving's ModelServerConfig, asked by TensorFlow Serving's clients."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from skewless.model.serve.models.config_file import watch_config_file
from skewless.model.serve.models.model_config import load, model_configs
from skewless.model.serve.models.registry import Models
from skewless.model.serve.models.warmup import REQUESTS
from skewless.model.serve.monitoring.metrics import Metrics
from skewless.model.serve.server import Options
from skewless.model.serve.status import ServingError
from skewless.schemas.errors import UsageError
from tests.served_process import Server, serving
from tests.test_serve import b64, examples, post, predict_request, refused

BODY = {"instances": [b64(examples()[0])]}


def config(name: str, base_path: Path | str, more: str = "") -> str:
    return (
        f'config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow" {more} }}'
    )


def listed(*configs: str) -> str:
    return f"model_config_list {{ {' '.join(configs)} }}"


def label(name: str, version: int) -> str:
    return f'version_labels {{ key: "{name}" value: {version} }}'


def numbered(model: Path, root: Path, *numbers: int) -> Path:
    root.mkdir(exist_ok=True)
    for number in numbers:
        (root / str(number)).symlink_to(model)
    return root


@pytest.fixture(scope="module")
def server(shop_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two models that load, one that does not, and one that is not there."""
    root = tmp_path_factory.mktemp("models")
    numbered(shop_model, root / "shop", 1, 2)
    numbered(shop_model, root / "stall", 7)
    cold = Path(shutil.copytree(shop_model, root / "cold" / "1"))
    (cold / REQUESTS).write_bytes(b"no records")
    (root / "broken" / "1").mkdir(parents=True)
    (root / "broken" / "1" / "saved_model.pb").write_bytes(b"no model")
    labels = label("stable", 1) + label("canary", 2)
    (root / "models.txt").write_text(
        listed(
            config("broken", root / "broken"),
            config("shop", "shop", f"model_version_policy {{ all {{}} }} {labels}"),
            config("cold", "cold"),
            config("gone", root / "nowhere"),
            config("stall", "stall"),
        )
    )
    with serving(None, root, "--model_config_file", str(root / "models.txt")) as running:
        running.wait_for("models loaded")
        yield running


def test_each_model_answers_and_a_bad_one_stops_no_other(server: Server) -> None:
    (told,) = server.log("models loaded")
    assert told["models"] == {"shop": 2, "stall": 7}
    assert told["missing"] == ["broken", "cold", "gone"]
    # Who asks whether it lives must not wait for all of them.
    events = [line["event"] for line in server.log()]
    assert events.index("serving") < events.index("loading")
    for name, version in (("shop", 2), ("stall", 7)):
        assert post(server, "predict", BODY, f"/v1/models/{name}").status_code == 200
        request = predict_request(examples()[:1], name=name)
        reply = server.predictions().Predict(request, timeout=60)
        assert (reply.model_spec.name, reply.model_spec.version.value) == (name, version)
    (status,) = server.http.get("/v1/models/broken").json()["model_version_status"]
    assert (status["state"], status["status"]["error_code"]) == ("END", "UNKNOWN")
    assert "skewless.json" in status["status"]["error_message"]
    (status,) = server.http.get("/v1/models/cold").json()["model_version_status"]
    assert status["state"] == "END"
    assert "tf_serving_warmup_requests: it ends in" in status["status"]["error_message"]
    refused(post(server, "predict", BODY, "/v1/models/broken"), 404, r"Latest\(broken\)")
    refused(server.http.get("/v1/models/gone"), 404, "Could not find any versions of model gone")
    (missing,) = [line for line in server.log("no model yet") if line["model"] == "gone"]
    assert "nowhere" in missing["error"]
    assert server.http.get("/readyz").json() == {
        "status": "ok",
        "models": {"shop": "2", "stall": "7"},
    }
    figures = server.http.get("/metrics").text
    assert 'skewless_model_version{model="shop"} 2.0' in figures
    assert 'skewless_model_version{model="broken"} 0.0' in figures
    assert 'skewless_model_loads_total{model="broken",outcome="failed"} 1.0' in figures


def test_versions_are_asked_for_by_number_and_label(server: Server) -> None:
    for subject, version in (("labels/stable", 1), ("labels/canary", 2), ("versions/1", 1)):
        path = f"/v1/models/shop/{subject}"
        assert post(server, "predict", BODY, path).status_code == 200
        spec = server.http.get(f"{path}/metadata").json()["model_spec"]
        assert spec["version"] == str(version)
    request = predict_request(examples()[:1], version_label="stable")
    assert server.predictions().Predict(request, timeout=60).model_spec.version.value == 1
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name, asked.model_spec.version_label = "shop", "canary"
    reply = server.predictions().GetModelMetadata(asked, timeout=60)
    assert reply.model_spec.version.value == 2
    for path in ("shop/labels/none", "stall/labels/stable", "gone/labels/stable"):
        refused(post(server, "predict", BODY, f"/v1/models/{path}"), 400, "Unrecognized servable")
    nameless = predict_request(examples()[:1], name="")
    with pytest.raises(grpc.RpcError) as caught:
        server.predictions().Predict(nameless, timeout=60)
    assert caught.value.code().name == "INVALID_ARGUMENT"
    assert "no name specified" in caught.value.details()


def test_the_page_lists_the_models(server: Server) -> None:
    page = server.http.get("/")
    assert '<a href="?model=shop">shop</a>' in page.text
    assert "broken: no version is loaded" in page.text
    assert "Version <span" in server.http.get("/?model=stall").text
    refused(server.http.get("/?model=other"), 404, "Could not find any versions of model other")
    refused(server.http.get("/?model=broken"), 503, "no version of broken is loaded yet")
    row = {"row": {"text": "The great thing"}}
    assert server.http.post("/explain?model=stall", json=row).json()["version"] == 7
    refused(server.http.post("/explain", json=row), 400, r"add \?model=NAME")


def reload_request(*configs: str) -> model_management_pb2.ReloadConfigRequest:
    request = model_management_pb2.ReloadConfigRequest()
    request.config.CopyFrom(parsed(listed(*configs)))
    return request


def parsed(text: str) -> model_server_config_pb2.ModelServerConfig:
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def test_a_client_changes_the_list(server: Server, shop_model: Path, tmp_path: Path) -> None:
    reload = server.models().HandleReloadConfigRequest
    root = server.log_path.parent
    shop = config("shop", root / "shop", "model_version_policy { specific { versions: 1 } }")
    custom = model_management_pb2.ReloadConfigRequest()
    custom.config.custom_model_config.Pack(model_pb2.ModelSpec())
    away = config("shop", root / "shop", label("stable", 9))
    for request, code, said in (
        (custom, "INVALID_ARGUMENT", "Only ModelConfigList is currently supported"),
        (model_management_pb2.ReloadConfigRequest(), "INVALID_ARGUMENT", "Only ModelConfigList"),
        (reload_request(shop, shop), "INVALID_ARGUMENT", "list model shop multiple times"),
        (reload_request(config("a", "here")), "INVALID_ARGUMENT", "to have an absolute path"),
        (reload_request(away), "FAILED_PRECONDITION", "label to version 9 of model shop"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            reload(request, timeout=60)
        assert caught.value.code().name == code, caught.value.details()
        assert said in caught.value.details()
    assert post(server, "predict", BODY, "/v1/models/stall").status_code == 200
    market = config("market", numbered(shop_model, tmp_path / "market", 3))
    reload(reload_request(shop, market), timeout=300)
    assert post(server, "predict", BODY, "/v1/models/market").status_code == 200
    assert server.http.get("/readyz").json()["models"] == {"shop": "1", "market": "3"}
    refused(post(server, "predict", BODY, "/v1/models/stall"), 404, r"Latest\(stall\)")
    refused(post(server, "predict", BODY, "/v1/models/shop/versions/2"), 404, "Specific")
    refused(post(server, "predict", BODY, "/v1/models/shop/labels/stable"), 400, "Unrecognized")
    server.wait_for("unloaded", model="shop", version=2)
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name="shop"))
    found = server.models().GetModelStatus(asked, timeout=60).model_version_status
    state = get_model_status_pb2.ModelVersionStatus.State
    assert [(entry.version, state.Name(entry.state)) for entry in found] == [
        (2, "END"),
        (1, "AVAILABLE"),
    ]
    (gone,) = server.http.get("/v1/models/stall").json()["model_version_status"]
    assert gone["state"] in ("UNLOADING", "END")
    assert 'skewless_model_version{model="stall"}' not in server.http.get("/metrics").text
    with pytest.raises(grpc.RpcError) as caught:
        reload(reload_request(shop, market, config("late", tmp_path / "late")), timeout=300)
    assert caught.value.code().name == "UNKNOWN"
    assert "1 model(s) did not become available: {name: late" in caught.value.details()


@pytest.mark.slow
def test_the_list_follows_its_file(shop_model: Path, tmp_path: Path) -> None:
    root = numbered(shop_model, tmp_path / "shop", 1, 2)
    path = tmp_path / "models.txt"
    latest = "model_version_policy { latest { num_versions: 2 } }"
    path.write_text(listed(config("shop", root, latest + label("old", 1))))
    models = Models(Metrics(), labels_for_unavailable=True)

    def loaded() -> set[int]:
        shop = models.of("shop")
        return {v for v in (1, 2) if shop is not None and shop.get(v) is not None}

    async def until(expected: set[int]) -> None:
        while loaded() != expected:
            await asyncio.sleep(0.01)

    async def follow() -> None:
        await models.reload(load(path))
        assert loaded() == {1, 2}
        assert models.get("shop").version == 2
        assert models.get("shop", label="old").version == 1
        following = asyncio.create_task(watch_config_file(path, models, 0.01))
        path.write_text("model_config_list { nonsense")
        await asyncio.sleep(0.1)
        assert loaded() == {1, 2}
        # A label that is new may be given to what is not there; one that answers may not leave it.
        path.write_text(listed(config("shop", root, latest + label("old", 3))))
        await asyncio.sleep(0.1)
        assert models.get("shop", label="old").version == 1
        one = "model_version_policy { specific { versions: 1 } }" + label("new", 9)
        path.write_text(listed(config("shop", root, one)))
        await until({1})
        with pytest.raises(ServingError, match=r"Specific\(shop, 9\)"):
            models.get("shop", label="new")
        with pytest.raises(ServingError, match="Unrecognized servable version label: old"):
            models.get("shop", label="old")
        # Another place with the same number takes over when it is loaded.
        before = models.get("shop")
        other = numbered(shop_model, tmp_path / "other", 1)
        path.write_text(listed(config("shop", other)))
        while models.get("shop") is before:
            await asyncio.sleep(0.01)
        assert models.get("shop").model.directory == other / "1"
        following.cancel()

    asyncio.run(asyncio.wait_for(follow(), 500))


@pytest.mark.parametrize(
    ("policy", "candidates"),
    [
        ("", [12, 3, 1]),
        ("latest { num_versions: 2 }", [12, 3, 1]),
        ("all {}", [12, 3, 1]),
        ("specific { versions: 1 versions: 12 versions: 5 }", [12, 1]),
    ],
)
def test_version_policies(policy: str, candidates: list[int]) -> None:
    text = config("a", "/a", f"model_version_policy {{ {policy} }}")
    (found,) = model_configs(parsed(listed(text)))
    assert found.policy.candidates({1, 3, 12}) == candidates
    newest = {"": 1, "latest { num_versions: 2 }": 2}.get(policy)
    assert found.policy.newest == newest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model_config_list { config { naem: 'a' } }", "cannot be read as a ModelServerConfig"),
        ("", "Only ModelConfigList is currently supported"),
        (listed(config("", "/a")), "Illegal to list a model without a name"),
        (listed(config("a", "/a"), config("a", "/b")), "Illegal to list model a multiple times"),
        (listed("config { name: 'a' base_path: '/a' }"), "Illegal setting neither"),
        (
            listed(config("a", "/a", "model_type: TENSORFLOW")),
            "Illegal setting both ModelServerConfig::model_type",
        ),
        (
            listed("config { name: 'a' base_path: '/a' model_platform: 'pytorch' }"),
            "expected the model_platform 'tensorflow', got 'pytorch'",
        ),
        (listed(config("a", "")), "to have an absolute path or URI"),
        (
            listed(config("a", "/a", "model_version_policy { specific {} }")),
            "the policy 'specific' names no versions",
        ),
    ],
)
def test_files_of_models_are_checked(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "models.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as refusal:
        load(path)
    assert str(path) in str(refusal.value)


def test_models_are_told_of_in_one_way(tmp_path: Path) -> None:
    for model, file in ((None, None), (tmp_path, tmp_path / "models.txt")):
        with pytest.raises(UsageError, match="expected either MODEL or --model-config-file FILE"):
            Options(model, model_config_file=file)
    with pytest.raises(UsageError, match="--model-name: the file of"):
        Options(None, "shop", tmp_path / "models.txt")
