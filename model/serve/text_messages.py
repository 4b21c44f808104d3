"""Protocol buffers in their text format, as TensorFlow Serving's options take them from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory, text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message

from skewless.schemas.errors import UsageError

__all__ = ["message_class", "read_message"]


def read_message(path: str | Path, message: Message, what: str, expected: str) -> None:
    """Reads a file into a message.

    Args:
      path: Of the file.
      message: An empty one, which is filled.
      what: What the file is to be, for messages.
      expected: What it is to hold, for messages.

    Raises:
      UsageError: If there is no such file, or it holds anything else.
    """
    try:
        text_format.Parse(Path(path).read_text(encoding="utf-8"), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise UsageError(
            f"{path}: cannot be read as {what}: {error}; expected {expected}"
        ) from error


def message_class(file: FileDescriptorProto, name: str, *imported: bytes) -> Any:
    """Returns the class of a message that `tensorflow-serving-api` does not hold.

    Args:
      file: Declares it, in a pool of its own, where it meets no other of its name.
      name: The message's, with its package.
      imported: Serialized files that `file` depends on.
    """
    pool = descriptor_pool.DescriptorPool()
    for dependency in imported:
        pool.AddSerializedFile(dependency)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
