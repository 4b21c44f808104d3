"""How requests come in: health, reflection, TLS and tokens, by real clients of one server."""

from __future__ import annotations

import json
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
import trustme
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from skewless.model.serve.transport.tls import load_tls
from skewless.model.serve.transport.tokens import Tokens
from skewless.schemas.errors import UsageError
from tests.served_process import Server, serving

_SERVICES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
_States = health_pb2.HealthCheckResponse
_CA, _STRANGER = trustme.CA(), trustme.CA()
_KNOWN = [("authorization", "Bearer one")]


def pem(certificate: trustme.LeafCert) -> tuple[str, str]:
    """Returns key and certificate."""
    key = certificate.private_key_pem.bytes().decode()
    return key, certificate.cert_chain_pems[0].bytes().decode()


def ssl_config(**fields: str | bool) -> str:
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in fields.items())


@dataclass
class Guarded:
    """A server that wants certificates and tokens, of a directory that holds no version at first."""

    server: Server
    versions: Path
    tokens: Path

    def channel(self, ca: trustme.CA | None = _CA) -> grpc.Channel:
        """Returns a channel with a certificate of `ca`, or none."""
        own = (None, None)
        if ca is not None:
            own = tuple(text.encode() for text in pem(ca.issue_cert("client")))  # type: ignore[assignment]
        credentials = grpc.ssl_channel_credentials(_CA.cert_pem.bytes(), *own)
        return grpc.secure_channel(self.server.grpc_address, credentials)

    def get(self, path: str, ca: trustme.CA | None = _CA, **headers: str | bytes) -> httpx.Response:
        """Asks with a certificate of `ca`, or none."""
        context = ssl.create_default_context()
        _CA.configure_trust(context)
        if ca is not None:
            ca.issue_cert("client").configure_cert(context)
        with httpx.Client(verify=context, timeout=120) as client:
            return client.get(f"{self.server.url}{path}", headers=headers)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "versions").mkdir()
    (folder / "tokens").write_text("one\n\n two \n")
    key, certificate = pem(_CA.issue_cert("127.0.0.1"))
    (folder / "ssl").write_text(
        ssl_config(
            server_key=key,
            server_cert=certificate,
            custom_ca=_CA.cert_pem.bytes().decode(),
            client_verify=True,
        )
    )
    options = ["--ssl_config_file", str(folder / "ssl"), "--token-file", str(folder / "tokens")]
    options += ["--model-name", "shop", "--poll", "0.1"]
    with serving(folder / "versions", folder, *options) as server:
        yield Guarded(server, folder / "versions", folder / "tokens")


def test_clients_need_a_certificate(guarded: Guarded) -> None:
    assert guarded.server.url.startswith("https://")
    assert guarded.get("/healthz").status_code == 200
    ask = health_pb2.HealthCheckRequest()
    for ca in (None, _STRANGER):
        with pytest.raises(httpx.TransportError):
            guarded.get("/healthz", ca)
        with guarded.channel(ca) as channel, pytest.raises(grpc.RpcError) as caught:
            health_pb2_grpc.HealthStub(channel).Check(ask, timeout=60)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    with pytest.raises(httpx.TransportError):
        httpx.get(guarded.server.url.replace("https", "http"))


def test_requests_need_a_token_but_for_health(guarded: Guarded) -> None:
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "shop"

    def rest(authorization: str) -> int:
        return guarded.get("/metrics", Authorization=authorization).status_code

    with guarded.channel() as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)

        def code(authorization: str) -> str:
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetModelStatus(status, metadata=[("authorization", authorization)], timeout=60)
            return caught.value.code().name

        assert guarded.get("/readyz").status_code == 503
        refused = guarded.get("/v1/models/shop")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert "expected a token" in refused.json()["error"]
        wrong = ("", "one", "Basic one", "Bearer", "Bearer on", "Bearer onee")
        assert {rest(given) for given in wrong} == {401}
        bytes_given = guarded.get("/metrics", Authorization="Bearer \u00e9".encode())
        assert bytes_given.status_code == 401
        assert {code(given) for given in wrong} == {"UNAUTHENTICATED"}
        assert {rest(given) for given in ("Bearer one", "bearer two")} == {200}
        # There is no version: the call came through.
        assert {code(given) for given in ("Bearer one", "bearer two")} == {"NOT_FOUND"}
        guarded.tokens.write_text("three\n")
        assert (rest("Bearer one"), rest("Bearer three")) == (401, 200)
        assert code("Bearer three") == "NOT_FOUND"
        guarded.tokens.write_text("\n")
        assert (rest("Bearer one"), rest("Bearer three")) == (401, 200)
        assert guarded.server.log("tokens not read")
        guarded.tokens.write_text("one\n")
        assert (rest("Bearer one"), rest("Bearer three")) == (200, 401)


def test_states_follow_loading_and_stopping(guarded: Guarded, shop_model: Path) -> None:
    with guarded.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def state(service: str) -> int:
            return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60).status

        watch = stub.Watch(health_pb2.HealthCheckRequest(service="shop"), timeout=600)
        assert next(watch).status == _States.NOT_SERVING
        assert {state(name) for name in (*_SERVICES, "shop")} == {_States.NOT_SERVING}
        with pytest.raises(grpc.RpcError) as caught:
            state("other")
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        shutil.copytree(shop_model, guarded.versions / ".1")
        (guarded.versions / ".1").rename(guarded.versions / "1")
        assert next(watch).status == _States.SERVING
        assert {state(name) for name in (*_SERVICES, "shop")} == {_States.SERVING}
        with pytest.raises(Exception, match="expected a token"):
            ProtoReflectionDescriptorDatabase(channel).get_services()
        known = grpc.intercept_channel(channel, _WithToken())
        database = ProtoReflectionDescriptorDatabase(known)
        assert {*_SERVICES[1:], "grpc.health.v1.Health"} <= set(database.get_services())
        service = DescriptorPool(database).FindServiceByName(_SERVICES[1])
        inputs = service.methods_by_name["Predict"].input_type.fields_by_name["inputs"]
        assert inputs.message_type.fields_by_name["value"].message_type.name == "TensorProto"
        guarded.server.process.terminate()
        assert [found.status for found in watch] == [_States.NOT_SERVING]
        assert guarded.server.process.wait(20) == 0  # Not held by the watch.


class _WithToken(grpc.StreamStreamClientInterceptor):
    def intercept_stream_stream(self, continuation, details, requests):  # type: ignore[no-untyped-def]
        details = details._replace(metadata=[*(details.metadata or ()), *_KNOWN])
        return continuation(details, requests)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server_keys: 'a'", "cannot be read as an SSLConfig"),
        ("server_cert: 'a'", "server_key is missing"),
        ("server_key: 'a'", "server_cert is missing"),
        ("server_key: 'a' server_cert: 'b'", "server_key and server_cert cannot be used"),
        ("server_key: 'a' server_cert: 'b' client_verify: true", "client_verify needs custom_ca"),
    ],
)
def test_ssl_configs_are_checked(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "ssl.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        load_tls(path)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ssl.txt"
    key, _ = pem(_CA.issue_cert("a"))
    _, certificate = pem(_CA.issue_cert("b"))
    path.write_text(ssl_config(server_key=key, server_cert=certificate))
    with pytest.raises(UsageError, match="cannot be used"):
        load_tls(path)
    key, certificate = pem(_CA.issue_cert("a"))
    path.write_text(ssl_config(server_key=key, server_cert=certificate, custom_ca="none"))
    with pytest.raises(UsageError, match="custom_ca cannot be used"):
        load_tls(path)


def test_token_files_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    for text in (None, "\n", "é\n"):
        if text is not None:
            path.write_text(text)
        with pytest.raises(UsageError, match="expected a file with a token a line"):
            Tokens(path)
