"""The Huffman code of HPACK (RFC 7541, appendix B): decoding only, bit by bit."""

from typing import Final

# The code is canonical: these symbols, grouped by the length of their code in bits, define it.
_SYMBOLS: Final = {
    5: b"012aceiost",
    6: b" %-./3456789=A_bdfghlmnpru",
    7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ",
    10: b'!"()?',
    11: b"'+|",
    12: b"#>",
    13: b"\x00$@[]~",
    14: b"^}",
    15: b"<`{",
    19: bytes.fromhex("5cc3d0"),
    20: bytes.fromhex("808283a2b8c2e0e2"),
    21: bytes.fromhex("99a1a7acb0b1b3d1d8d9e3e5e6"),
    22: bytes.fromhex("8184858688929a9ca0a3a4a9aaadb2b5b9babbbdbec4c6e4e8e9"),
    23: bytes.fromhex("0187898a8b8c8d8f93959697989b9d9ea5a6a8aeafb4b6b7bcbfc5e7ef"),
    24: bytes.fromhex("098e9091949fabced7e1eced"),
    25: bytes.fromhex("c7cfeaeb"),
    26: bytes.fromhex("c0c1c8c9cacdd2d5dadbeef0f2f3ff"),
    27: bytes.fromhex("cbccd3d4d6dddedff1f4f5f6f7f8fafbfcfdfe"),
    28: bytes.fromhex("02030405060708" "0b0c0e0f1011121314151718191a1b1c1d1e1f7fdcf9"),
    30: bytes.fromhex("0a0d16"),
}  # fmt: skip
_PADDING_BITS_MAX: Final = 7


class BadHuffman(ValueError):
    """The octets are not Huffman code."""


def _codes() -> dict[tuple[int, int], int]:
    """Return the symbol of each code, by its length and value."""
    codes: dict[tuple[int, int], int] = {}
    code = before = 0
    for length, symbols in _SYMBOLS.items():
        code <<= length - before
        before = length
        for symbol in symbols:
            codes[length, code] = symbol
            code += 1
    return codes


_CODES: Final = _codes()


def decode(octets: bytes) -> bytes:
    """Return the text; raises BadHuffman. What ends it must be at most seven bits of ones."""
    found = bytearray()
    code = length = 0
    for octet in octets:
        for shift in range(7, -1, -1):
            code = code << 1 | octet >> shift & 1
            length += 1
            symbol = _CODES.get((length, code))
            if symbol is not None:
                found.append(symbol)
                code = length = 0
    if length > _PADDING_BITS_MAX or code != (1 << length) - 1:
        raise BadHuffman("the padding is wrong")
    return bytes(found)
