"""One HTTP exchange: its body within a limit, its time too, its errors as TensorFlow Serving's."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from skewless.model.serve.monitoring.observing import Observer
from skewless.model.serve.status import ServingError

__all__ = ["Endpoint", "answered", "body_of", "error_response"]

Endpoint = Callable[[Request], Awaitable[Response]]
_GZIP = 16 + zlib.MAX_WBITS


def answered(endpoint: Endpoint, observer: Observer, timeout: float) -> Endpoint:
    """Returns the endpoint with a limit on its seconds, and with its errors as responses."""

    async def answer(request: Request) -> Response:
        try:
            return await asyncio.wait_for(endpoint(request), timeout)
        except ServingError as error:
            found = error
        except asyncio.TimeoutError:
            found = ServingError(
                "DEADLINE_EXCEEDED", f"no answer within {timeout:g} seconds (--timeout)"
            )
        except ClientDisconnect:
            found = ServingError("CANCELLED", "the client went away")
        except Exception as error:
            observer.failed(error)
            found = ServingError("INTERNAL", "Internal error; the server's log tells more")
        request.state.code = found.code
        return error_response(found)

    return answer


async def body_of(request: Request, max_bytes: int) -> bytes:
    """Returns a request's body, unpacked if it came gzipped.

    Raises:
      ServingError: If it is larger than `max_bytes`, packed or unpacked, or not what it says it is.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
    body = b"".join(parts)
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "gzip":
        return _unpacked(body, max_bytes)
    if encoding != "identity":
        raise ServingError(
            "INVALID_ARGUMENT", f"Content-Encoding: expected gzip or none, got {encoding}", 415
        )
    return body


def _unpacked(body: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise ServingError("INVALID_ARGUMENT", f"the body is not gzip: {error}") from error
    if len(unpacked) > max_bytes:
        raise _too_large(max_bytes)
    if not unpacker.eof:
        raise ServingError("INVALID_ARGUMENT", "the body is not gzip: it ends too early")
    return unpacked


def _too_large(max_bytes: int) -> ServingError:
    return ServingError(
        "INVALID_ARGUMENT", f"the body is larger than {max_bytes} bytes (--max-body-bytes)", 413
    )


def error_response(error: ServingError) -> Response:
    """Returns `{"error": "..."}` with the status that TensorFlow Serving gives it."""
    body = orjson.dumps({"error": str(error)})
    return Response(body, error.http_status, media_type="application/json")
