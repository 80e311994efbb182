"""HPACK as in the examples of RFC 7541, and against what servers may do to a client."""

import pytest

from benchmarks.http2 import hpack, huffman

RESPONSES = [
    (
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff"
        "6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        [
            (b":status", b"302"),
            (b"cache-control", b"private"),
            (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
            (b"location", b"https://www.example.com"),
        ],
    ),
    (
        "4883640effc1c0bf",
        [
            (b":status", b"307"),
            (b"cache-control", b"private"),
            (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
            (b"location", b"https://www.example.com"),
        ],
    ),
]
"""Appendix C.6 of the RFC: Huffman code, and a table of 256 bytes that evicts."""


def test_the_responses_of_the_rfc_are_decoded() -> None:
    decoder = hpack.Decoder(256)

    found = [list(decoder.decode(bytes.fromhex(block))) for block, _ in RESPONSES]

    assert found == [headers for _, headers in RESPONSES]


def test_equal_bytes_after_a_change_of_the_table_are_decoded_anew() -> None:
    decoder = hpack.Decoder()
    decoder.decode(b"\x40\x01a\x011")
    first = decoder.decode(b"\xbe")
    decoder.decode(b"\x40\x01b\x012")

    assert (first, decoder.decode(b"\xbe")) == (((b"a", b"1"),), ((b"b", b"2"),))


def test_equal_bytes_without_a_change_are_the_same_object() -> None:
    decoder = hpack.Decoder()
    decoder.decode(b"\x40\x01a\x011")

    assert decoder.decode(b"\xbe") is decoder.decode(b"\xbe")


@pytest.mark.parametrize(
    "block", ["80", "be", "0001", "7f", "ffffffffffffff", "3fff7f", "0081000000"]
)
def test_what_is_no_header_block_is_refused(block: str) -> None:
    with pytest.raises(hpack.BadHeaders):
        hpack.Decoder().decode(bytes.fromhex(block))


def test_every_octet_survives_the_huffman_code_and_wrong_padding_does_not() -> None:
    text, bits = bytes(range(256)), ""
    for octet in text:
        [(length, code)] = [place for place, symbol in huffman._CODES.items() if symbol == octet]
        bits += f"{code:0{length}b}"
    ones = bits + "1" * (-len(bits) % 8)
    octets = int(ones, 2).to_bytes(len(ones) // 8)

    assert huffman.decode(octets) == text
    with pytest.raises(huffman.BadHuffman):
        huffman.decode(octets[:-1] + b"\xf8")
    with pytest.raises(huffman.BadHuffman):
        huffman.decode(octets + b"\xff\xff\xff\xff")


HEADERS = (
    (b":method", b"POST"),
    (b":path", b"/a.B/C"),
    (b"te", b"trailers"),
    (b"authorization", b"Bearer x"),
)
OTHERS = ((b":method", b"POST"), (b":path", b"/a.B/D"), (b"te", b"trailers"))


@pytest.mark.parametrize("allowed", [0, 50, 100, 4096, 65536])
def test_a_server_decodes_what_the_client_encodes_however_small_its_table(allowed: int) -> None:
    encoder = hpack.Encoder(allowed, frozenset({b"authorization"}))
    decoder = hpack.Decoder(min(allowed, 4096))

    for headers in (HEADERS, HEADERS, OTHERS, HEADERS, OTHERS, OTHERS):
        assert decoder.decode(encoder.encode(headers)) == headers


def test_blocks_come_to_be_constant_and_a_secret_never_enters_the_table() -> None:
    encoder = hpack.Encoder(4096, frozenset({b"authorization"}))
    first, second, third = (encoder.encode(HEADERS) for _ in range(3))

    assert len(second) < len(first)
    assert third is second
    assert b"Bearer x" in second
