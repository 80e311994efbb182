"""Header compression and what is read from headers, without a connection."""

import random

import pytest

from benchmarks.http2 import hpack as client
from gateway.edge.http2 import header_blocks, heads, hpack, huffman, limits
from gateway.edge.http2.heads import Head

# RFC 7541, C.4: three requests on one connection, in Huffman code, with the dynamic table.
RFC_REQUESTS = (
    (
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        {b":path": b"/", b":authority": b"www.example.com"},
    ),
    (
        "828684be5886a8eb10649cbf",
        {b":authority": b"www.example.com", b"cache-control": b"no-cache"},
    ),
    (
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        {b":path": b"/index.html", b"custom-key": b"custom-value"},
    ),
)
REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a.B/C"),
    (b"content-type", b"application/grpc"),
)


def test_the_examples_of_the_standard() -> None:
    decoder = hpack.Decoder()

    for octets, expected in RFC_REQUESTS:
        headers = dict(decoder.decode(bytes.fromhex(octets)).headers)
        assert headers.items() >= expected.items()


def test_tables_of_both_sides_stay_the_same() -> None:
    generator = random.Random(7)
    encoder, decoder = client.Encoder(4_096), hpack.Decoder()
    for _ in range(300):
        headers = tuple(
            (b"x-%d" % generator.randrange(40), b"v" * generator.randrange(60))
            for _ in range(generator.randrange(1, 6))
        )
        assert decoder.decode(encoder.encode(headers)).headers == headers


@pytest.mark.parametrize(
    "octets",
    [
        b"\x80",  # Index 0.
        b"\xbe",  # An entry of an empty table.
        b"\x00\x01",  # A name that is cut off.
        b"\xff\x80\x80\x80\x80\x80\x01",  # A number without an end.
        b"\x3f\xff\xff\x01",  # A table larger than allowed.
        b"\x82\x20",  # The table's size in the middle of a block.
        b"\x00\x84\xff\xff\xff\xff\x00",  # The end of string inside of one.
        b"\x00\x81\x1e\x00",  # Padding that is not ones.
    ],
)
def test_octets_that_are_no_header_block(octets: bytes) -> None:
    with pytest.raises(hpack.BadHeaders):
        hpack.Decoder().decode(octets)


def test_random_octets_are_decoded_or_refused() -> None:
    generator = random.Random(11)
    for _ in range(5_000):
        octets = generator.randbytes(generator.randrange(40))
        try:
            hpack.Decoder().decode(octets)
            huffman.decode(octets)
        except (hpack.BadHeaders, huffman.BadHuffman):
            continue


def remembering() -> tuple[header_blocks.HeaderBlocks, list[Head]]:
    read: list[Head] = []
    return header_blocks.HeaderBlocks(read.append), read


def test_a_block_that_left_the_table_alone_is_read_once() -> None:
    blocks, read = remembering()
    block = b"".join(b"\0" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in REQUEST)

    assert blocks.head(block) is blocks.head(block)
    assert len(read) == 1


def test_a_block_is_read_anew_once_the_table_changed() -> None:
    """The same octets name another entry of the table then."""
    blocks, _ = remembering()
    encoder = client.Encoder(4_096)
    first = encoder.encode((*REQUEST, (b"user", b"one")))
    again = encoder.encode((*REQUEST, (b"user", b"one")))
    before = blocks.head(first), blocks.head(again)
    encoder.encode((*REQUEST, (b"user", b"two")))
    blocks.head(b"\x40\x04user\x03two")

    after = blocks.head(again)

    assert before[1] is not None
    assert before[1].metadata == (("user", "one"),)
    assert after is None or after.metadata != before[1].metadata


def test_only_so_many_blocks_are_remembered() -> None:
    blocks, _ = remembering()
    for number in range(limits.HEADS_MAX * 3):
        blocks.head(b"\0\x01x\x04%04d" % number)
        blocks.head(b"\0\x01x\x7f\xe1\x07" + b"%01120d" % number)

    assert len(blocks._heads) <= limits.HEADS_MAX
    assert all(len(block) <= limits.HEAD_BYTES_MAX for block in blocks._heads)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        *((b"1H", 3_600.0), (b"2M", 120.0), (b"3S", 3.0), (b"40m", 0.04), (b"5u", 5e-6)),
        *((b"6n", 6e-9), (b"0S", 0.0), (b"1", None), (b"", None), (b"999999999S", None)),
    ],
)
def test_timeouts(timeout: bytes, seconds: float | None) -> None:
    head = heads.read(hpack.Block((*REQUEST, (b"grpc-timeout", timeout)), False, False))

    assert head.timeout_seconds == (seconds if seconds is None else pytest.approx(seconds))
    assert head.has_bad_timeout == (seconds is None)
