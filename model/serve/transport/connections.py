"""HTTP connections that nobody can hold for nothing: bounds on heads, on waiting, on how many there are.

Uvicorn with httptools bounds none of these itself. A request that has begun is bounded by what
`exchange` says: its bytes and its time.
"""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BoundedProtocol", "ConnectionLimits", "Connections"]

# Sockets of gRPC, files of models, pipes.
_OTHER_FILES = 200
_LEAST_PROGRESS = 64 * 1024


@dataclass(frozen=True)
class ConnectionLimits:
    """What a connection may do.

    Attributes:
      most: Connections at a time. One more ends the one that has waited longest for a request; if all
        are being answered, it is refused (503).
      head_seconds: To send a request's head, from the connection or the answer before (408).
      head_bytes: Of all headers (431).
      headers: How many (431).
      url_bytes: Of the request's target (414).
      pipelined: Requests sent ahead of their turn; one more ends the connection.
      stalled_seconds: In which a client that is slow to read its answer has to take 64 KiB of it.
    """

    most: int = 1000
    head_seconds: float = 10.0
    head_bytes: int = 64 * 1024
    headers: int = 100
    url_bytes: int = 8 * 1024
    pipelined: int = 16
    stalled_seconds: float = 20.0


class Connections:
    """All connections of a server."""

    def __init__(self, limits: ConnectionLimits, refused: Callable[[int, str], None]) -> None:
        """Lets the process open as many files as there may be connections, or takes fewer of these.

        Args:
          limits: What they may do.
          refused: Is told status and peer of what was refused before there was a request.
        """
        self.limits = limits
        self.refused = refused
        self._most = max(1, _files(limits.most + _OTHER_FILES) - _OTHER_FILES)
        self._open: set[BoundedProtocol] = set()
        # In the order in which they began to wait for a request.
        self._waiting: dict[BoundedProtocol, None] = {}

    def admit(self, connection: BoundedProtocol) -> bool:
        """Returns whether there is room for one more, which then waits for a request."""
        if len(self._open) >= self._most:
            if not self._waiting:
                return False
            oldest = next(iter(self._waiting))
            self.gone(oldest)
            oldest.transport.abort()
        self._open.add(connection)
        self.waits(connection)
        return True

    def waits(self, connection: BoundedProtocol) -> None:
        """Notes that it waits for a request."""
        if connection in self._open:
            self._waiting[connection] = None

    def works(self, connection: BoundedProtocol) -> None:
        """Notes that it waits no more."""
        self._waiting.pop(connection, None)

    def gone(self, connection: BoundedProtocol) -> None:
        """Notes its end."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)


def _files(wanted: int) -> int:
    """Returns how many of the files wanted this process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


class _TooMuchError(Exception):
    """Ends the parsing of a request."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, connections: Connections, **given: Any) -> None:
        """Takes what uvicorn gives, and what it is one of."""
        super().__init__(**given)
        self._of = connections
        self._limits = connections.limits
        self._head_open = False
        self._head_bytes = 0
        self._reason: tuple[int, str] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a request, if there is room for one more connection."""
        super().connection_made(transport)
        if self._of.admit(self):
            self._timer("head", self._limits.head_seconds, self._head_is_late)
        else:
            self._refuse(503, "too many connections (--max-connections)")

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the work that nobody waits for any more."""
        super().connection_lost(exc)
        self._of.gone(self)
        for timer in self._timers.values():
            timer.cancel()
        if self.cycle is not None and not self.cycle.response_complete:
            state = self.cycle.scope["state"]
            state["gone"] = True
            if "work" in state:
                state["work"].cancel()
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Parses what came, unless it is too much or not HTTP."""
        if self._reason is not None:
            return
        self._unset_keepalive_if_required()
        was_open = self._head_open
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # Answered as if it had not been asked for.
        except httptools.HttpParserError:
            self._refuse(*(self._reason or (400, "the request is not HTTP")))
            return
        if self._head_open and was_open:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes:
                self._refuse(*_HEAD_TOO_LARGE)
                return
        if self._is_idle() and "head" not in self._timers:
            self._timer("head", self._limits.head_seconds, self._head_is_late)

    def on_message_begin(self) -> None:
        """Begins a request."""
        super().on_message_begin()
        self._head_open, self._head_bytes = True, 0

    def on_url(self, url: bytes) -> None:
        """Takes a piece of its target."""
        super().on_url(url)
        if len(self.url) > self._limits.url_bytes:
            self._stop(414, f"the URL is longer than {self._limits.url_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header, or a trailer after the body."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > self._limits.head_bytes or len(self.headers) >= self._limits.headers:
            self._stop(*_HEAD_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begins to answer it, or has it wait for its turn."""
        self._head_open = False
        if len(self.pipeline) >= self._limits.pipelined:
            self._stop(429, "too many requests were sent ahead of their turn")
        self._cancel("head")
        self._of.works(self)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Begins to wait for the next request."""
        super().on_response_complete()
        if self._is_idle() and not self.transport.is_closing():
            self._of.waits(self)
            if self._head_open:
                self._timer("head", self._limits.head_seconds, self._head_is_late)

    def pause_writing(self) -> None:
        """Begins to watch a client that is slow to read."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """Ends that."""
        self._cancel("writing")
        super().resume_writing()

    def _is_idle(self) -> bool:
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def _timer(self, name: str, seconds: float, late: Callable[..., None], *given: Any) -> None:
        self._cancel(name)
        self._timers[name] = self.loop.call_later(seconds, late, *given)

    def _cancel(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()

    def _head_is_late(self) -> None:
        self._refuse(408, f"no request's head within {self._limits.head_seconds:g} seconds")

    def _watch_writing(self) -> None:
        size = self.transport.get_write_buffer_size()
        self._timer("writing", self._limits.stalled_seconds, self._check_writing, size)

    def _check_writing(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < _LEAST_PROGRESS:
            self.transport.abort()
        else:
            self._watch_writing()

    def _stop(self, status: int, said: str) -> None:
        self._reason = status, said
        raise _TooMuchError(said)

    def _refuse(self, status: int, said: str) -> None:
        """Answers in place of the application, and ends the connection."""
        self._reason = status, said
        self._cancel("head")
        if self.transport.is_closing():
            return
        self._of.refused(
            status, "" if self.client is None else f"{self.client[0]}:{self.client[1]}"
        )
        if not self._is_idle():  # An answer is under way; another must not get between its parts.
            self.transport.abort()
            return
        body = json.dumps({"error": said}).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


_HEAD_TOO_LARGE = 431, "the headers are too many or too large"
