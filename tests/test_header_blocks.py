"""Remembered header blocks mean what hpack's own coder makes of them, whatever came before."""

from __future__ import annotations

import hpack
from hypothesis import example, given
from hypothesis import strategies as st

from skewless.model.serve.grpc_server.header_blocks import Decoder, Encoder

_HEADERS = st.sampled_from(
    [
        ((b":status", b"200"), (b"content-type", b"application/grpc")),
        ((b"grpc-status", b"0"),),
        ((b"grpc-status", b"5"),),
        ((b"grpc-status", b"13"), (b"grpc-message", b"it failed")),
        ((b":method", b"POST"), (b":path", b"/a.B/C"), (b"te", b"trailers")),
        # Fills a small table, so that what was before falls out of it.
        tuple((b"name%d" % i, b"x" * 40) for i in range(8)),
    ]
)
_STEPS = st.lists(st.tuples(_HEADERS, st.sampled_from([None, 0, 128, 4096])), max_size=30)
_OK, _NOT_FOUND = ((b"grpc-status", b"0"),), ((b"grpc-status", b"5"),)
# The same block, one byte, is the first headers and then the second.
_SAME_BLOCK = [(_OK, None), (_OK, None), (_NOT_FOUND, None), (_NOT_FOUND, None)]


def _pairs(headers: object) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers]  # type: ignore[attr-defined]


@given(_STEPS)
@example(_SAME_BLOCK)
def test_blocks_by_our_encoder_are_read_by_hpack(steps: list[tuple[tuple, int | None]]) -> None:
    encoder, decoder = Encoder(), hpack.Decoder()
    for headers, table_size in steps:
        if table_size is not None:
            encoder.header_table_size = table_size
        assert _pairs(decoder.decode(encoder.encode(headers), raw=True)) == list(headers)


@given(_STEPS)
@example(_SAME_BLOCK)
def test_blocks_by_hpack_are_read_by_our_decoder(steps: list[tuple[tuple, int | None]]) -> None:
    encoder, decoder = hpack.Encoder(), Decoder(1 << 16)
    for headers, table_size in steps:
        if table_size is not None:
            encoder.header_table_size = table_size
        assert _pairs(decoder.decode(encoder.encode(headers), raw=True)) == list(headers)


def test_a_block_of_pointers_is_coded_once() -> None:
    encoder, decoder = Encoder(), Decoder(1 << 16)
    headers = ((b"grpc-status", b"0"), (b"content-type", b"application/grpc"))
    decoder.decode(encoder.encode(headers), raw=True)
    block = encoder.encode(headers)
    assert encoder.encode(headers) is block
    assert decoder.decode(block, raw=True) is decoder.decode(block, raw=True)
