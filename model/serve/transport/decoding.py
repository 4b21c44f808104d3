"""gRPC messages that cannot be decoded are the client's mistake, whatever service they are for.

gRPC's own server ends such a call as INTERNAL or UNKNOWN, with a traceback in the log. Here what went wrong
takes the place of the request, and is answered.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

__all__ = ["DecodedCalls"]

_KINDS = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class DecodedCalls(grpc.ServerInterceptor):
    """Lets calls through to their methods if their messages can be decoded."""

    def __init__(self) -> None:
        """Knows no method yet."""
        self._made: dict[str, tuple[Any, Any]] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the method's handler, or None if there is no such method."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        if method not in self._made or self._made[method][0] is not handler:
            self._made[method] = handler, _decoding(handler)
        return self._made[method][1]


def _decoding(handler: Any) -> Any:
    name, made = _KINDS[handler.request_streaming, handler.response_streaming]
    behavior = getattr(handler, name)

    # With what the library notes on a behavior: whether it may be called without a thread.
    @functools.wraps(behavior)
    def answered(asked: Any, context: Any, *more: Any) -> Any:
        if handler.request_streaming:
            return behavior(_decoded(asked, context), context, *more)
        return behavior(_or_end(asked, context), context, *more)

    def decoded(data: bytes) -> Any:
        try:
            return handler.request_deserializer(data)
        except DecodeError as error:
            return error

    return made(answered, handler.request_deserializer and decoded, handler.response_serializer)


def _decoded(asked: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
    return (_or_end(message, context) for message in asked)


def _or_end(message: Any, context: grpc.ServicerContext) -> Any:
    if isinstance(message, DecodeError):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the request cannot be decoded: {message}")
    return message
