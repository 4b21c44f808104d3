"""HTTP/2 as the gRPC server speaks it, by the words of RFC 9113 and with h2 as the client."""

from __future__ import annotations

import struct

import h2.events
import hpack
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import strategies as st

from skewless.model.serve.grpc_server.frames import PREFACE, Http2Error, frame
from skewless.model.serve.grpc_server.outgoing import Outgoing
from skewless.model.serve.grpc_server.receiver import Headers, Receiver
from skewless.model.serve.grpc_server.streams import Streams

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 1, 1, 4, 8, 32
MOST_STREAMS, HEADER_BYTES = 3, 20_000
OK = ((b"grpc-status", b"0"),)
OPENING = [(":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "here")]


class Server:
    """Answers each stream with the bytes that came of it, when they are whole."""

    def __init__(self) -> None:
        self.streams = Streams()
        self.out = Outgoing(self.streams, lambda stream: None, lambda: None)
        self.receiver = Receiver(self.streams, self, MOST_STREAMS, HEADER_BYTES)
        self.bodies: dict[int, bytearray] = {}
        self.headers: list[Headers] = []
        self.resets: list[int] = []
        self.idle = 0
        self.gone = False

    def opened(self, stream: int, headers: Headers) -> None:
        self.bodies[stream] = bytearray()
        self.headers.append(headers)

    def came(self, stream: int, data: bytes) -> None:
        assert data
        self.bodies[stream] += data

    def half_closed(self, stream: int) -> None:
        self.out.send_headers(stream, ((b":status", b"200"),), end=False)
        self.out.send_data(stream, bytes(self.bodies[stream]))
        self.out.send_headers(stream, OK, end=True)

    def was_reset(self, stream: int) -> None:
        self.resets.append(stream)
        self.out.drop(stream)

    def room_made(self, stream: int) -> None:
        self.out.room_made(stream)

    def idle_frame(self) -> None:
        self.idle += 1

    def going_away(self) -> None:
        self.gone = True


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def setting(name: int, value: int) -> bytes:
    return struct.pack(">HI", name, value)


BLOCK = hpack.Encoder().encode(OPENING)
BEGIN = PREFACE + frame(SETTINGS, 0, 0)
OPEN_1 = frame(HEADERS, END_HEADERS, 1, BLOCK)
WHOLE_1 = frame(HEADERS, END_HEADERS | END_STREAM, 1, BLOCK)
FULL_WINDOW = frame(WINDOW, 0, 1, number(2**31 - 1))


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Returns type, flags, stream and payload of each frame."""
    found = []
    while data:
        length = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + length]))
        data = data[9 + length :]
    return found


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "PROTOCOL_ERROR"),
        (PREFACE + frame(PING, 0, 0, bytes(8)), "PROTOCOL_ERROR"),
        (PREFACE + frame(SETTINGS, ACK, 0), "PROTOCOL_ERROR"),
        (BEGIN + frame(SETTINGS, 0, 1), "PROTOCOL_ERROR"),
        (BEGIN + frame(SETTINGS, 0, 0, bytes(5)), "FRAME_SIZE_ERROR"),
        (BEGIN + frame(SETTINGS, ACK, 0, bytes(6)), "FRAME_SIZE_ERROR"),
        (BEGIN + frame(SETTINGS, 0, 0, setting(2, 2)), "PROTOCOL_ERROR"),
        (BEGIN + frame(SETTINGS, 0, 0, setting(4, 2**31)), "FLOW_CONTROL_ERROR"),
        (BEGIN + frame(SETTINGS, 0, 0, setting(5, 16_383)), "PROTOCOL_ERROR"),
        (BEGIN + frame(SETTINGS, 0, 0, setting(5, 2**24)), "PROTOCOL_ERROR"),
        (BEGIN + OPEN_1 + frame(WINDOW, 0, 1, number(2**31 - 1 - 65_535))
         + frame(SETTINGS, 0, 0, setting(4, 65_536)), "FLOW_CONTROL_ERROR"),
        (BEGIN + frame(DATA, 0, 1, bytes(16_385)), "FRAME_SIZE_ERROR"),
        (BEGIN + frame(DATA, 0, 0, b"x"), "PROTOCOL_ERROR"),
        (BEGIN + frame(DATA, 0, 1, b"x"), "PROTOCOL_ERROR"),
        (BEGIN + OPEN_1 + frame(DATA, PADDED, 1, b"\x02ab"[:2]), "PROTOCOL_ERROR"),
        (BEGIN + OPEN_1 + frame(DATA, PADDED, 1), "PROTOCOL_ERROR"),
        (BEGIN + WHOLE_1 + frame(DATA, 0, 1, b"x"), "STREAM_CLOSED"),
        (BEGIN + WHOLE_1 + OPEN_1, "STREAM_CLOSED"),
        (BEGIN + frame(HEADERS, END_HEADERS, 5, BLOCK) + frame(HEADERS, END_HEADERS, 3, BLOCK),
         "STREAM_CLOSED"),
        (BEGIN + frame(HEADERS, END_HEADERS, 0, BLOCK), "PROTOCOL_ERROR"),
        (BEGIN + frame(HEADERS, END_HEADERS, 2, BLOCK), "PROTOCOL_ERROR"),
        (BEGIN + frame(HEADERS, END_HEADERS | HAS_PRIORITY, 1, bytes(4)), "FRAME_SIZE_ERROR"),
        (BEGIN + frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff"), "COMPRESSION_ERROR"),
        (BEGIN + frame(HEADERS, 0, 1, BLOCK) + frame(PING, 0, 0, bytes(8)), "PROTOCOL_ERROR"),
        (BEGIN + frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, END_HEADERS, 3),
         "PROTOCOL_ERROR"),
        (BEGIN + frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, 0, 1) * 64,
         "ENHANCE_YOUR_CALM"),
        (BEGIN + frame(HEADERS, 0, 1, bytes(16_000)) + frame(CONTINUATION, 0, 1, bytes(5_000)),
         "ENHANCE_YOUR_CALM"),
        # Four bytes of block, many of headers: one that is long enters the table and is pointed to.
        (BEGIN + frame(HEADERS, END_HEADERS, 1,
         hpack.Encoder().encode([("a", "x" * 3_000)], huffman=False) + b"\xbe" * 10),
         "ENHANCE_YOUR_CALM"),
        (BEGIN + OPEN_1 + frame(CONTINUATION, END_HEADERS, 1), "PROTOCOL_ERROR"),
        (BEGIN + OPEN_1 + frame(PUSH, END_HEADERS, 1, number(2) + BLOCK), "PROTOCOL_ERROR"),
        (BEGIN + frame(PING, 0, 0, bytes(7)), "FRAME_SIZE_ERROR"),
        (BEGIN + frame(PING, 0, 1, bytes(8)), "PROTOCOL_ERROR"),
        (BEGIN + frame(PRIORITY, 0, 1, bytes(4)), "FRAME_SIZE_ERROR"),
        (BEGIN + frame(PRIORITY, 0, 0, bytes(5)), "PROTOCOL_ERROR"),
        (BEGIN + frame(RST, 0, 0, number(8)), "PROTOCOL_ERROR"),
        (BEGIN + frame(RST, 0, 1, number(8)), "PROTOCOL_ERROR"),
        (BEGIN + OPEN_1 + frame(RST, 0, 1, bytes(3)), "FRAME_SIZE_ERROR"),
        (BEGIN + frame(GOAWAY, 0, 1, bytes(8)), "PROTOCOL_ERROR"),
        (BEGIN + frame(GOAWAY, 0, 0, bytes(7)), "FRAME_SIZE_ERROR"),
        (BEGIN + frame(WINDOW, 0, 0, number(0)), "PROTOCOL_ERROR"),
        (BEGIN + frame(WINDOW, 0, 0, number(2**31 - 1)), "FLOW_CONTROL_ERROR"),
        (BEGIN + frame(WINDOW, 0, 1, number(1)), "PROTOCOL_ERROR"),
        (BEGIN + OPEN_1 + frame(WINDOW, 0, 1, bytes(3)), "FRAME_SIZE_ERROR"),
    ],
)  # fmt: skip
def test_what_ends_a_connection_is_told_by_its_code(sent: bytes, code: str) -> None:
    server = Server()
    with pytest.raises(Http2Error, match=code):
        server.receiver.receive(sent)
    kind, _, stream, payload = frames(server.streams.written())[-1]
    assert (kind, stream) == (GOAWAY, 0)
    assert ErrorCodes(int.from_bytes(payload[4:8], "big")).name == code


@pytest.mark.parametrize(
    ("sent", "stream", "code"),
    [
        (OPEN_1 + FULL_WINDOW, 1, "FLOW_CONTROL_ERROR"),
        (OPEN_1 + frame(WINDOW, 0, 1, number(0)), 1, "PROTOCOL_ERROR"),
        # Headers that follow the first end the stream, or are wrong.
        (OPEN_1 + OPEN_1, 1, "PROTOCOL_ERROR"),
        (b"".join(frame(HEADERS, END_HEADERS, stream, BLOCK) for stream in (1, 3, 5, 7)), 7,
         "REFUSED_STREAM"),
        # Of a stream that the client itself has reset.
        (OPEN_1 + frame(RST, 0, 1, number(8)) + frame(DATA, 0, 1, b"x"), 1, "STREAM_CLOSED"),
        (OPEN_1 + frame(RST, 0, 1, number(8)) + OPEN_1, 1, "STREAM_CLOSED"),
        # A little more than a stream's window, of bytes that nobody answers for.
        (frame(HEADERS, END_HEADERS, 1, BLOCK) + frame(SETTINGS, 0, 0, setting(4, 0))
         + frame(DATA, END_STREAM, 1, b"x") + frame(DATA, 0, 1, b"y"), 1, "STREAM_CLOSED"),
    ],
)  # fmt: skip
def test_what_ends_a_stream_alone_is_told_by_its_code(sent: bytes, stream: int, code: str) -> None:
    server = Server()
    server.receiver.receive(BEGIN + sent)
    resets = [each for each in frames(server.streams.written()) if each[0] == RST]
    assert [(at, ErrorCodes(int.from_bytes(told, "big")).name) for _, _, at, told in resets] == [
        (stream, code)
    ]
    # Others go on, with the table of headers as it is.
    after = frame(HEADERS, END_HEADERS | END_STREAM, 9, BLOCK)
    server.streams.open.pop(3, None)
    server.receiver.receive(after)
    assert server.headers[-1][b":path"] == b"/a.B/C"
    assert (HEADERS, END_HEADERS | END_STREAM, 9) in [
        each[:3] for each in frames(server.streams.written())
    ]


def test_what_was_under_way_when_we_ended_a_stream_is_passed_over() -> None:
    server = Server()
    server.receiver.receive(BEGIN + OPEN_1)
    server.streams.reset(1, 0)  # type: ignore[arg-type]
    server.streams.written()
    late = frame(DATA, 0, 1, b"x") + frame(WINDOW, 0, 1, number(1)) + frame(RST, 0, 1, number(0))
    server.receiver.receive(late + frame(PRIORITY, 0, 1, bytes(5)) + frame(77, 255, 1, b"?"))
    assert server.streams.written() == b""
    assert server.bodies == {1: bytearray()}


def test_the_client_hears_of_no_later_stream_than_it_was_told() -> None:
    server = Server()
    server.receiver.receive(BEGIN + WHOLE_1)
    server.streams.go_away(0)  # type: ignore[arg-type]
    server.receiver.receive(frame(HEADERS, END_HEADERS, 3, BLOCK))
    with pytest.raises(Http2Error):
        server.receiver.receive(frame(DATA, 0, 0))
    told = [each[3][:4] for each in frames(server.streams.written()) if each[0] == GOAWAY]
    assert told == [number(1), number(1)]
    server.receiver.receive(frame(GOAWAY, 0, 0, bytes(8)))
    assert server.gone


@pytest.mark.parametrize(
    ("flags", "payload"),
    [
        (PADDED, b"\x03" + BLOCK + bytes(3)),
        (HAS_PRIORITY, bytes(5) + BLOCK),
        (PADDED | HAS_PRIORITY, b"\x03" + bytes(5) + BLOCK + bytes(3)),
    ],
)
def test_headers_may_be_padded_weighted_and_in_pieces(flags: int, payload: bytes) -> None:
    server = Server()
    server.receiver.receive(BEGIN + frame(HEADERS, flags | END_HEADERS, 1, payload))
    server.receiver.receive(frame(HEADERS, flags | END_STREAM, 3, payload))
    end = hpack.Encoder().encode([("last", "one")])
    server.receiver.receive(
        frame(CONTINUATION, 0, 3) + frame(CONTINUATION, END_HEADERS, 3, end)
        + frame(DATA, PADDED | END_STREAM, 1, b"\x02body\0\0")
    )  # fmt: skip
    first = {name.encode(): value.encode() for name, value in OPENING}
    assert server.headers == [first, first | {b"last": b"one"}]
    assert server.bodies == {1: bytearray(b"body"), 3: bytearray()}
    assert server.streams.open == {}


def test_pings_come_back_and_settings_are_acknowledged() -> None:
    server = Server()
    server.streams.written()
    server.receiver.receive(BEGIN + frame(PING, 0, 0, b"12345678") + frame(PING, ACK, 0, bytes(8)))
    expected = [(SETTINGS, ACK, 0, b""), (PING, ACK, 0, b"12345678")]
    assert frames(server.streams.written()) == expected


def test_clients_send_on_for_ever() -> None:
    """Windows are opened again, of streams and of the connection, padding included."""
    server = Server()
    client = H2Connection(H2Configuration())
    client.initiate_connection()
    client.send_headers(1, OPENING)
    sent = 0
    while sent < 2 << 24:
        server.receiver.receive(client.data_to_send())
        client.receive_data(server.streams.written())
        room = min(client.local_flow_control_window(1), 16_384)
        assert room > 256
        client.send_data(1, bytes(room - 256), pad_length=255)
        sent += room
    server.receiver.receive(client.data_to_send())
    assert not any(server.bodies[1])
    with pytest.raises(Http2Error, match="FLOW_CONTROL_ERROR"):
        # One that gives no heed to windows: none are opened again of a stream that is no more.
        server.receiver._may_come = 0
        server.receiver.receive(frame(DATA, 0, 1, b"x"))


def test_no_more_is_sent_of_all_streams_than_the_client_has_room_for() -> None:
    server = Server()
    server.receiver.receive(BEGIN + frame(SETTINGS, 0, 0, setting(4, 2**31 - 1)))
    for stream in (1, 3):
        server.receiver.receive(frame(HEADERS, END_HEADERS, stream, BLOCK))
        for _ in range(4):
            server.receiver.receive(frame(DATA, 0, stream, bytes(10_000)))
        server.receiver.receive(frame(DATA, END_STREAM, stream))

    def sent() -> int:
        return sum(len(each[3]) for each in frames(server.streams.written()) if each[0] == DATA)

    assert sent() == 65_535
    server.receiver.receive(frame(WINDOW, 0, 0, number(10)))
    assert sent() == 10
    server.receiver.receive(frame(WINDOW, 0, 0, number(80_000)))
    assert sent() == 80_000 - 65_545
    assert server.streams.open == {}


_CALL = st.tuples(
    st.binary(max_size=400), st.integers(1, 120), st.sampled_from(["data", "trailers", "reset"])
)


@given(
    st.lists(_CALL, min_size=1, max_size=12),
    st.sampled_from([0, 1, 50, 65_535, 2**31 - 1]),
    st.sampled_from([16_384, 2**24 - 1]),
    st.integers(1, 300),
    st.booleans(),
)
def test_h2_understands_and_is_understood(
    calls: list[tuple[bytes, int, str]], window: int, frame_bytes: int, cut: int, padded: bool
) -> None:
    """Streams of all kinds, cut anywhere; windows that the client opens bit by bit, and h2 guards."""
    server, client = Server(), H2Connection(H2Configuration())
    client.initiate_connection()
    client.update_settings(
        {SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.MAX_FRAME_SIZE: frame_bytes}
    )
    answers: dict[int, bytes] = {}
    over: set[int] = set()

    def exchange() -> None:
        data = client.data_to_send()
        for at in range(0, len(data), cut):
            server.receiver.receive(data[at : at + cut])
        for event in client.receive_data(server.streams.written()):
            assert not isinstance(event, h2.events.ConnectionTerminated | h2.events.StreamReset)
            if isinstance(event, h2.events.DataReceived):
                answers[event.stream_id] += event.data
            elif isinstance(event, h2.events.StreamEnded):
                over.add(event.stream_id)

    exchange()
    for place, (body, size, end) in enumerate(calls):
        stream = 2 * place + 1
        answers[stream] = b""
        client.send_headers(stream, [*OPENING, ("n", str(place % 3))])
        for at in range(0, len(body), size):
            pad = size if padded else None
            client.send_data(stream, body[at : at + size], pad_length=pad)
        if end == "reset":
            client.reset_stream(stream)
            exchange()
            assert server.resets[-1] == stream
            continue
        if end == "trailers":
            client.send_headers(stream, [("b", "c")], end_stream=True)
        else:
            client.end_stream(stream)
        exchange()
        for _ in range(len(body)):
            if stream in over:
                break
            client.increment_flow_control_window(7, stream)
            exchange()
        assert answers[stream] == body
    assert server.streams.open == {}
