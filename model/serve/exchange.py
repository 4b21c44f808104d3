"""One HTTP exchange: its body within a limit, its time too, its errors as TensorFlow Serving's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from skewless.model.serve.monitoring.observing import Observer
from skewless.model.serve.reading.requests import unpacked
from skewless.model.serve.status import ServingError

__all__ = ["Bodies", "Endpoint", "answered", "error_response"]

Endpoint = Callable[[Request], Awaitable[Response]]
# How many of the largest bodies may be held at the same time, and what counts as none.
_HELD = 16
_SMALL = 64 * 1024
_SHOWN = 100


def answered(endpoint: Endpoint, observer: Observer, timeout: float) -> Endpoint:
    """Returns the endpoint with a limit on its seconds, and with its errors as responses."""

    async def answer(request: Request) -> Response:
        # The connection cancels it when the client goes away (`connections`).
        work = request.scope["state"]["work"] = asyncio.ensure_future(endpoint(request))
        try:
            return await asyncio.wait_for(work, timeout)
        except ServingError as error:
            found = error
        except asyncio.TimeoutError:
            found = ServingError(
                "DEADLINE_EXCEEDED", f"no answer within {timeout:g} seconds (--timeout)"
            )
        except (ClientDisconnect, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and not request.scope["state"].get("gone"):
                raise  # The server stops.
            found = ServingError("CANCELLED", "the client went away")
        except Exception as error:
            observer.failed(error)
            found = ServingError("INTERNAL", "Internal error; the server's log tells more")
        finally:
            state = request.scope["state"]
            if "let_go" in state:
                state["let_go"](state["held"])
        request.state.code = found.code
        return error_response(found)

    return answer


class Bodies:
    """The bodies of a server's requests: each within a limit, and all that are held together.

    Small ones count for nothing, so that those who send large ones slowly keep nobody else out.
    """

    def __init__(self, max_bytes: int) -> None:
        """Takes the limit of one."""
        self._max_bytes = max_bytes
        self._left = _HELD * max_bytes

    async def of(self, request: Request) -> bytes:
        """Returns a request's body, unpacked if it came gzipped.

        Raises:
          ServingError: If it is larger than the limit, packed or unpacked, or not what it says it is;
            if too many large ones are held.
        """
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > self._max_bytes):
            raise _too_large(self._max_bytes)
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Content-Encoding: expected gzip or none, got {encoding[:_SHOWN]}",
                415,
            )
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > self._max_bytes:
                raise _too_large(self._max_bytes)
            self._hold(request, len(body))
        if encoding == "gzip":
            self._hold(request, self._max_bytes)
            return await asyncio.to_thread(unpacked, body, self._max_bytes)
        return bytes(body)

    def _hold(self, request: Request, size: int) -> None:
        """Counts bytes of a request until it is answered."""
        state = request.scope["state"]
        held = state.get("held", 0)
        if size <= max(_SMALL, held):
            return
        self._left -= size - held
        state["held"] = size
        if "let_go" not in state:
            state["let_go"] = self._let_go
        if self._left < 0:
            raise ServingError(
                "UNAVAILABLE",
                f"requests of more than {_HELD} times --max-body-bytes are held; try again later",
            )

    def _let_go(self, size: int) -> None:
        self._left += size


def _too_large(max_bytes: int) -> ServingError:
    return ServingError(
        "INVALID_ARGUMENT", f"the body is larger than {max_bytes} bytes (--max-body-bytes)", 413
    )


def error_response(error: ServingError) -> Response:
    """Returns `{"error": "..."}` with the status that TensorFlow Serving gives it."""
    # What a client sent may hold half a surrogate pair, which no UTF-8 can.
    text = str(error).encode("utf-8", "replace").decode()
    body = orjson.dumps({"error": text})
    return Response(body, error.http_status, media_type="application/json")
