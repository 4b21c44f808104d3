"""grpc.health.v1 and reflection, by their own clients."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.served_process import Server, serving

_SERVICES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
_States = health_pb2.HealthCheckResponse


@pytest.fixture(scope="module")
def watched(
    shop_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Path]]:
    """A server of a directory that holds no version yet."""
    folder = tmp_path_factory.mktemp("health")
    (folder / "versions").mkdir()
    options = ("--model-name", "shop", "--poll", "0.1")
    with serving(folder / "versions", folder, *options) as server:
        yield server, folder / "versions"


def test_states_follow_loading_and_stopping(watched: tuple[Server, Path], shop_model: Path) -> None:
    server, versions = watched
    with server.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def state(service: str) -> int:
            return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60).status

        watch = stub.Watch(health_pb2.HealthCheckRequest(service="shop"), timeout=600)
        assert next(watch).status == _States.NOT_SERVING
        assert {state(name) for name in (*_SERVICES, "shop")} == {_States.NOT_SERVING}
        with pytest.raises(grpc.RpcError) as caught:
            state("other")
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        shutil.copytree(shop_model, versions / ".1")
        (versions / ".1").rename(versions / "1")
        assert next(watch).status == _States.SERVING
        assert {state(name) for name in (*_SERVICES, "shop")} == {_States.SERVING}
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {*_SERVICES[1:], "grpc.health.v1.Health"} <= set(database.get_services())
        service = DescriptorPool(database).FindServiceByName(_SERVICES[1])
        inputs = service.methods_by_name["Predict"].input_type.fields_by_name["inputs"]
        assert inputs.message_type.fields_by_name["value"].message_type.name == "TensorProto"
        server.process.terminate()
        assert [found.status for found in watch] == [_States.NOT_SERVING]
        assert server.process.wait(20) == 0  # Not held by the watch.
