"""TensorFlow Serving's batching parameters, in its text format.

max_batch_size { value: 128 }
batch_timeout_micros { value: 1000 }
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, wrappers_pb2

from skewless.model.serve.text_messages import message_class, read_message
from skewless.schemas.errors import UsageError

__all__ = ["BatchingParameters", "load"]


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are put together; the defaults are TensorFlow Serving's but for the threads.

    Attributes:
      max_batch_size: Rows of a batch at most; a request of more is computed in parts.
      batch_timeout_micros: How long a request may wait for others while a thread is free.
      max_enqueued_batches: Batches that may wait; what comes then is refused as UNAVAILABLE.
      num_batch_threads: Batches computed at the same time. TensorFlow Serving's default is the
        processors; here it is half of them, since taking requests in and writing answers wants the
        others, and fewer threads compute larger batches (docs/performance.md has figures).
      allowed_batch_sizes: Sizes that batches are padded to; empty for any.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = max(1, (os.cpu_count() or 1) // 2)
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Checks them.

        Raises:
          UsageError: If one is out of its range.
        """
        for name, least in (
            ("max_batch_size", 1),
            ("batch_timeout_micros", 0),
            ("max_enqueued_batches", 1),
            ("num_batch_threads", 1),
        ):
            value = getattr(self, name)
            if value < least:
                raise UsageError(f"{name}: expected at least {least}, got {value}")
        sizes = self.allowed_batch_sizes
        if sizes and (sorted(set(sizes)) != list(sizes) or sizes[-1] != self.max_batch_size):
            raise UsageError(
                f"allowed_batch_sizes: expected growing sizes that end with max_batch_size "
                f"({self.max_batch_size}), got {', '.join(map(str, sizes))}"
            )


def load(path: str | Path) -> BatchingParameters:
    """Reads a file of batching parameters.

    Raises:
      UsageError: If there is no such file, or it holds anything else.
    """
    message = _message_class()()
    read_message(path, message, "batching parameters", "its text format")
    given: dict[str, Any] = {
        field.name: getattr(message, field.name).value
        for field in fields(BatchingParameters)
        if field.name != "allowed_batch_sizes" and message.HasField(field.name)
    }
    try:
        return BatchingParameters(**given, allowed_batch_sizes=tuple(message.allowed_batch_sizes))
    except UsageError as error:
        raise UsageError(f"{path}: {error}; correct the file") from error


def _message_class() -> Any:
    """Returns TensorFlow Serving's message, which `tensorflow-serving-api` does not hold."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="skewless/batching_parameters.proto",
        package="skewless",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    wrapped = (
        ("max_batch_size", 1, "Int64Value"),
        ("batch_timeout_micros", 2, "Int64Value"),
        ("max_enqueued_batches", 3, "Int64Value"),
        ("num_batch_threads", 4, "Int64Value"),
        ("thread_pool_name", 5, "StringValue"),
    )
    for name, number, kind in wrapped:
        message.field.add(
            name=name,
            number=number,
            type=kinds.TYPE_MESSAGE,
            type_name=f".google.protobuf.{kind}",
            label=kinds.LABEL_OPTIONAL,
        )
    message.field.add(
        name="allowed_batch_sizes", number=6, type=kinds.TYPE_INT64, label=kinds.LABEL_REPEATED
    )
    for name, number in (("pad_variable_length_inputs", 7), ("enable_large_batch_splitting", 8)):
        message.field.add(
            name=name, number=number, type=kinds.TYPE_BOOL, label=kinds.LABEL_OPTIONAL
        )
    return message_class(file, "skewless.BatchingParameters", wrappers_pb2.DESCRIPTOR.serialized_pb)
