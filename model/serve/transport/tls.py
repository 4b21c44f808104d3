"""TLS for REST and gRPC alike, from TensorFlow Serving's SSLConfig in its text format.

server_key: "-----BEGIN PRIVATE KEY-----\\n…"
server_cert: "-----BEGIN CERTIFICATE-----\\n…"
custom_ca: "-----BEGIN CERTIFICATE-----\\n…"       # who signs clients' certificates
client_verify: true                               # clients must have one
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from skewless.model.serve.text_messages import message_class, read_message
from skewless.schemas.errors import UsageError

__all__ = ["Tls", "load_tls"]


@dataclass(frozen=True)
class Tls:
    """What a server shows, and what it wants to see.

    Attributes:
      context: For HTTP.
      grpc_context: For gRPC, which wants HTTP/2.
    """

    context: ssl.SSLContext
    grpc_context: ssl.SSLContext


def load_tls(path: str | Path) -> Tls:
    """Reads an SSLConfig.

    Raises:
      UsageError: If there is no such file, it is no SSLConfig, or its key and certificates do not fit.
    """
    message = _message_class()()
    fields = "server_key, server_cert and, if wanted, custom_ca and client_verify"
    read_message(path, message, "an SSLConfig", f"{fields} in its text format")
    for field in ("server_key", "server_cert"):
        if not getattr(message, field):
            raise UsageError(f"{path}: {field} is missing; give it as PEM text")
    if message.client_verify and not message.custom_ca:
        raise UsageError(
            f"{path}: client_verify needs custom_ca; add the certificate of who signs those of clients"
        )
    grpc_context = _context(path, message)
    grpc_context.set_alpn_protocols(["h2"])
    return Tls(_context(path, message), grpc_context)


def _context(path: str | Path, config: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Python reads keys from files alone; this one is readable by its owner, and gone at once.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".pem") as file:
        file.write(f"{config.server_key}\n{config.server_cert}\n")
        file.flush()
        try:
            context.load_cert_chain(file.name, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            raise UsageError(
                f"{path}: server_key and server_cert cannot be used: {error}; expected an unencrypted "
                "PEM key and its certificate, line ends as \\n"
            ) from error
    if config.custom_ca:
        try:
            context.load_verify_locations(cadata=config.custom_ca)
        except (ssl.SSLError, ValueError) as error:
            raise UsageError(
                f"{path}: custom_ca cannot be used: {error}; expected PEM certificates"
            ) from error
    if config.client_verify:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _message_class() -> Any:
    """Returns TensorFlow Serving's message, which `tensorflow-serving-api` does not hold."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="skewless/ssl_config.proto", package="skewless", syntax="proto3"
    )
    message = file.message_type.add(name="SSLConfig")
    for number, (name, kind) in enumerate(
        (
            ("server_key", kinds.TYPE_STRING),
            ("server_cert", kinds.TYPE_STRING),
            ("custom_ca", kinds.TYPE_STRING),
            ("client_verify", kinds.TYPE_BOOL),
        ),
        start=1,
    ):
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    return message_class(file, "skewless.SSLConfig")
