"""gRPC's server reflection: the services by name and their messages, for grpcurl and its like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from skewless.model.serve.grpc_server.server import GrpcServer

__all__ = ["add_reflection", "described"]


def add_reflection(server: GrpcServer, services: Sequence[Any]) -> None:
    """Adds the service to a server that is not yet started.

    Args:
      server: To add it to.
      services: Descriptors of what it offers; they may come from different pools.
    """
    pool = DescriptorPool()
    added: set[str] = set()
    for service in services:
        _add(pool, service.file, added)
    names = [service.full_name for service in services]
    servicer = reflection.aio.ReflectionServicer((*names, reflection.SERVICE_NAME), pool)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)


def described(file: str, service: str, methods: Mapping[str, tuple[Any, Any]]) -> Any:
    """Returns the descriptor of a service whose generated module cannot be imported.

    Those of `tensorflow-serving-api` cannot by today's protobuf.

    Args:
      file: Its .proto file.
      service: Its whole name.
      methods: The classes of request and reply of each.
    """
    pool = DescriptorPool()
    added: set[str] = set()
    package, _, name = service.rpartition(".")
    proto = descriptor_pb2.FileDescriptorProto(name=file, package=package, syntax="proto3")
    declared = proto.service.add(name=name)
    for method, classes in methods.items():
        request, reply = (found.DESCRIPTOR for found in classes)
        for message in (request, reply):
            _add(pool, message.file, added)
            if message.file.name not in proto.dependency:
                proto.dependency.append(message.file.name)
        declared.method.add(
            name=method, input_type=f".{request.full_name}", output_type=f".{reply.full_name}"
        )
    pool.Add(proto)
    return pool.FindServiceByName(service)


def _add(pool: DescriptorPool, file: Any, added: set[str]) -> None:
    if file.name in added:
        return
    added.add(file.name)
    for needed in file.dependencies:
        _add(pool, needed, added)
    pool.AddSerializedFile(file.serialized_pb)
