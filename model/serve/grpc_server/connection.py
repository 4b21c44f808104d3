"""One HTTP/2 connection that carries gRPC: frames come in, calls begin, answers go out.

Written after RFC 9113 and gRPC's "gRPC over HTTP2". It lives in the event loop: all calls that came
while the loop was busy enter it together, and so meet in a batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from skewless.model.serve.grpc_server.call import Call, Headers, status
from skewless.model.serve.grpc_server.frames import ErrorCode, Http2Error
from skewless.model.serve.grpc_server.outgoing import Outgoing
from skewless.model.serve.grpc_server.receiver import Receiver
from skewless.model.serve.grpc_server.streams import Streams

__all__ = ["GrpcConnection", "GrpcLimits", "Opener"]


@dataclass(frozen=True)
class GrpcLimits:
    """What a client of gRPC may do.

    Attributes:
      message_bytes: Of a request.
      calls: Of all connections at a time; one more is refused as RESOURCE_EXHAUSTED.
      streams: Calls of one connection at a time.
      connections: At a time; one more is closed.
      header_bytes: Of a call.
      handshake_seconds: From the connection to HTTP/2's first frame, and for TLS before it.
      idle_seconds: Without a call, then the connection ends.
      age_seconds: Then the connection takes no new calls, so that calls whose request never comes whole
        end at some time; clients open another.
      grace_seconds: For the calls that are under way then.
      frames_between_calls: Frames that are no part of a call, or empty, or end one before its time,
        since a call was last answered. One more ends the connection: they cost a client nothing.
    """

    message_bytes: int = 64 << 20
    calls: int = 1000
    streams: int = 128
    connections: int = 1000
    header_bytes: int = 64 << 10
    handshake_seconds: float = 10.0
    idle_seconds: float = 300.0
    age_seconds: float = 600.0
    grace_seconds: float = 60.0
    frames_between_calls: int = 5000


class Opener(Protocol):
    """What a connection asks of its server."""

    limits: GrpcLimits

    def admit(self, connection: GrpcConnection) -> bool:
        """Returns whether there is room for one more."""

    def open(self, connection: GrpcConnection, stream: int, headers: Headers) -> Call | None:
        """Returns the call that headers ask for, or refuses it."""

    def lost(self, connection: GrpcConnection) -> None:
        """Forgets a connection."""


class GrpcConnection(asyncio.Protocol):
    """One connection."""

    def __init__(self, opener: Opener) -> None:
        """Takes the server that it is of."""
        self._opener, self._limits = opener, opener.limits
        self._loop = asyncio.get_running_loop()
        self._streams = Streams()
        self._receiver = Receiver(
            self._streams, self, self._limits.streams, self._limits.header_bytes
        )
        self._calls: dict[int, Call] = {}
        self._out = Outgoing(self._streams, self._answered, self._worth_it)
        self._made = self._active = time.monotonic()
        self._spoke = self._flushing = False
        self._left: float | None = None
        self._idle_frames = 0
        self._peer = ""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greets the client, if there is room for one more."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = _address(transport.get_extra_info("peername"))
        tls = transport.get_extra_info("ssl_object")
        speaks = tls is None or tls.selected_alpn_protocol() == "h2"
        if not (speaks and self._opener.admit(self)):
            transport.abort()
            return
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Takes what came, unless it is not HTTP/2."""
        if self._transport.is_closing():
            return
        try:
            self._receiver.receive(data)
        except Http2Error:
            self._end()
            return
        if self._idle_frames > self._limits.frames_between_calls:
            self._streams.go_away(ErrorCode.ENHANCE_YOUR_CALM)
            self._end()
            return
        if self._streams:
            self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the calls that nobody waits for any more."""
        self._opener.lost(self)
        self._out.drop_all()
        for call in list(self._calls.values()):
            call.gone()

    def pause_writing(self) -> None:
        """Reads no more from a client that does not read its answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Reads on."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # What its server calls.

    def look(self, now: float) -> None:
        """Ends it, or begins to, when its time is over."""
        limits = self._limits
        if self._left is not None:
            if now - self._left > limits.grace_seconds:
                self._transport.abort()
        elif not self._spoke:
            if now - self._made > limits.handshake_seconds:
                self._transport.abort()
        elif now - self._made > limits.age_seconds or (
            not self._calls and now - self._active > limits.idle_seconds
        ):
            self.leave()

    def leave(self) -> None:
        """Takes no new calls, and closes when the last has been answered."""
        if self._left is None:
            self._left = time.monotonic()
            self._streams.go_away(ErrorCode.NO_ERROR)
            self._flush()
        self._close_if_done()

    def cancel(self) -> None:
        """Ends its calls before their time, and itself."""
        for call in list(self._calls.values()):
            call.cancel()
        self._end()

    def refuse(self, stream: int, code: grpc.StatusCode, details: str) -> None:
        """Ends a call that has not begun."""
        self.send_headers(stream, status(code, details), end=True)

    def ended(self, call: Call) -> None:
        """Forgets a call."""
        self._calls.pop(call.stream, None)
        self._active = time.monotonic()
        if self._left is not None:
            self._loop.call_soon(self._close_if_done)

    # What its calls ask of it.

    def peer(self) -> str:
        """Returns the client's address."""
        return self._peer

    def send_headers(
        self, stream: int, headers: Sequence[tuple[bytes, bytes]], end: bool = False
    ) -> None:
        """Sends headers; `end` makes them the last, after all data."""
        self._out.send_headers(stream, headers, end)
        self._flush_soon()

    def send_data(self, stream: int, data: bytes) -> None:
        """Sends bytes as the client makes room for them."""
        self._out.send_data(stream, data)
        self._flush_soon()

    async def drained(self, stream: int) -> None:
        """Returns when the bytes of a stream have gone out."""
        await self._out.drained(stream)

    # What its receiver tells.

    def opened(self, stream: int, headers: Headers) -> None:
        """Begins a call, or refuses it."""
        if self._left is not None:
            self._streams.reset(stream, ErrorCode.REFUSED_STREAM)
        elif headers.get(b":method") != b"POST":
            self.send_headers(stream, ((b":status", b"405"),), end=True)
        elif not headers.get(b"content-type", b"").startswith(b"application/grpc"):
            self.send_headers(stream, ((b":status", b"415"),), end=True)
        elif call := self._opener.open(self, stream, headers):
            self._calls[stream] = call
            call.begin()

    def came(self, stream: int, data: bytes) -> None:
        """Gives bytes to their call."""
        if call := self._calls.get(stream):
            call.received(data)

    def half_closed(self, stream: int) -> None:
        """Tells a call that it has all that comes."""
        if call := self._calls.get(stream):
            call.half_closed()

    def was_reset(self, stream: int) -> None:
        """Ends a call whose client wants it no more."""
        self._idle_frames += 1
        self._out.drop(stream)
        if call := self._calls.get(stream):
            call.gone()

    def room_made(self, stream: int) -> None:
        """Sends on."""
        self._out.room_made(stream)

    def idle_frame(self) -> None:
        """Counts it; the first frame of all is one."""
        self._spoke = True
        self._idle_frames += 1

    def going_away(self) -> None:
        """Answers what the client has asked, and ends."""
        self.leave()

    # Its own.

    def _answered(self, stream: int) -> None:
        self._worth_it()
        if self._left is not None:
            self._loop.call_soon(self._close_if_done)
        if stream in self._streams.open:
            # Its end may be among what has come already.
            self._loop.call_soon(self._want_no_more, stream)

    def _want_no_more(self, stream: int) -> None:
        if stream in self._streams.open:
            self._streams.reset(stream, ErrorCode.NO_ERROR)
            self._flush_soon()

    def _worth_it(self) -> None:
        """Forgets the frames that led to something."""
        self._idle_frames = 0

    def _flush_soon(self) -> None:
        """Writes once for all that is sent in this turn of the loop."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._streams and not self._transport.is_closing():
            self._transport.write(self._streams.written())

    def _close_if_done(self) -> None:
        if self._left is not None and not self._calls and not self._out:
            self._flush()
            self._transport.close()

    def _end(self) -> None:
        self._flush()
        self._transport.close()


def _address(peer: Any) -> str:
    """Returns an address as gRPC writes it."""
    host, port = peer[:2] if peer else ("", 0)
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
