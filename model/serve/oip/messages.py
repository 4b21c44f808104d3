"""The protocol's gRPC messages, of package `inference`, built from a table of their fields.

Names and numbers are those of the published specification. The descriptors lie in a pool of their own:
clients such as tritonclient register the same names in the process's, and two files cannot.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["DESCRIPTOR", "SERVICE", "message"]

SERVICE = "inference.GRPCInferenceService"
_METHODS = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
)
# A message, then its fields: name, kind, number; `*` repeats, `%` maps strings to the kind, and `|` is one
# of which only one is set. A message with a dot lies in another.
_MESSAGES = """
ServerLiveRequest
ServerLiveResponse live bool 1
ServerReadyRequest
ServerReadyResponse ready bool 1
ModelReadyRequest name string 1 version string 2
ModelReadyResponse ready bool 1
ServerMetadataRequest
ServerMetadataResponse name string 1 version string 2 extensions *string 3
ModelMetadataRequest name string 1 version string 2
ModelMetadataResponse name string 1 versions *string 2 platform string 3
  inputs *ModelMetadataResponse.TensorMetadata 4 outputs *ModelMetadataResponse.TensorMetadata 5
ModelMetadataResponse.TensorMetadata name string 1 datatype string 2 shape *int64 3
InferParameter bool_param |bool 1 int64_param |int64 2 string_param |string 3 double_param |double 4
  uint64_param |uint64 5
InferTensorContents bool_contents *bool 1 int_contents *int32 2 int64_contents *int64 3
  uint_contents *uint32 4 uint64_contents *uint64 5 fp32_contents *float 6 fp64_contents *double 7
  bytes_contents *bytes 8
ModelInferRequest model_name string 1 model_version string 2 id string 3
  parameters %InferParameter 4 inputs *ModelInferRequest.InferInputTensor 5
  outputs *ModelInferRequest.InferRequestedOutputTensor 6 raw_input_contents *bytes 7
ModelInferRequest.InferInputTensor name string 1 datatype string 2 shape *int64 3
  parameters %InferParameter 4 contents InferTensorContents 5
ModelInferRequest.InferRequestedOutputTensor name string 1 parameters %InferParameter 2
ModelInferResponse model_name string 1 model_version string 2 id string 3
  parameters %InferParameter 4 outputs *ModelInferResponse.InferOutputTensor 5
  raw_output_contents *bytes 6
ModelInferResponse.InferOutputTensor name string 1 datatype string 2 shape *int64 3
  parameters %InferParameter 4 contents InferTensorContents 5
"""
_Kinds = descriptor_pb2.FieldDescriptorProto


def message(name: str) -> Any:
    """Returns the class of a message."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"inference.{name}"))


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="grpc_service.proto", package="inference", syntax="proto3"
    )
    made: dict[str, descriptor_pb2.DescriptorProto] = {}
    for line in _MESSAGES.replace("\n  ", " ").strip().splitlines():
        path, *fields = line.split()
        outer, _, name = path.rpartition(".")
        of = made[outer].nested_type if outer else file.message_type
        made[path] = of.add(name=name)
        for at in range(0, len(fields), 3):
            _add_field(made[path], path, fields[at], fields[at + 1], int(fields[at + 2]))
    service = file.service.add(name=SERVICE.rpartition(".")[2])
    for method in _METHODS:
        service.method.add(
            name=method,
            input_type=f".inference.{method}Request",
            output_type=f".inference.{method}Response",
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add_field(
    to: descriptor_pb2.DescriptorProto, path: str, name: str, kind: str, number: int
) -> None:
    mark, kind = (kind[0], kind[1:]) if kind[0] in "*%|" else ("", kind)
    field = to.field.add(name=name, number=number)
    field.label = _Kinds.LABEL_REPEATED if mark and mark in "*%" else _Kinds.LABEL_OPTIONAL
    if mark == "|":
        if not to.oneof_decl:
            to.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if mark == "%":
        entry = to.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _add_field(entry, path, "key", "string", 1)
        _add_field(entry, path, "value", kind, 2)
        kind = f"{path}.{entry.name}"
    if kind[0].isupper():
        field.type, field.type_name = _Kinds.TYPE_MESSAGE, f".inference.{kind}"
    else:
        field.type = _Kinds.Type.Value(f"TYPE_{kind.upper()}")


_POOL = _pool()
DESCRIPTOR = _POOL.FindServiceByName(SERVICE)
