"""gRPC messages that cannot be decoded are the client's mistake, whatever service they are for.

gRPC's own server ends such a call as INTERNAL or UNKNOWN, with a traceback in the log. Here what went wrong
takes the place of the request, and is answered.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError

__all__ = ["DecodingServer"]


class DecodingServer:
    """What services of coroutines are added to instead of the server itself."""

    def __init__(self, server: Any) -> None:
        """Takes the server that is not yet started."""
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Adds them, so that what cannot be decoded is answered."""
        self._server.add_generic_rpc_handlers([_Handlers(inner) for inner in handlers])

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Does nothing: what newer generated code registers by name, it adds as handlers as well."""


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, inner: grpc.GenericRpcHandler) -> None:
        self._inner = inner

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        handler = self._inner.service(details)
        return None if handler is None else _decoding(handler)


def _decoding(handler: Any) -> Any:
    def decoded(data: bytes) -> Any:
        try:
            return handler.request_deserializer(data)
        except DecodeError as error:
            return error

    async def answered(request: Any, context: Any) -> Any:
        if isinstance(request, DecodeError):
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"the request cannot be decoded: {request}"
            )
        return await handler.unary_unary(request, context)

    return grpc.unary_unary_rpc_method_handler(answered, decoded, handler.response_serializer)
