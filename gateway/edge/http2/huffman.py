"""The Huffman code of HPACK (RFC 7541, appendix B): decoding only, four bits at a time."""

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
_NO_SYMBOL: Final = -1
_ROOT: Final = 0


class BadHuffman(ValueError):
    """The octets are not Huffman code."""


def _tree() -> list[list[int]]:
    """Return the two branches of each inner node: a node, or a symbol as its complement."""
    nodes: list[list[int | None]] = [[None, None]]
    code = before = 0
    for length, symbols in _SYMBOLS.items():
        code <<= length - before
        before = length
        for symbol in symbols:
            node = _ROOT
            for shift in range(length - 1, 0, -1):
                branches = nodes[node]
                bit = code >> shift & 1
                if (below := branches[bit]) is None:
                    below = branches[bit] = len(nodes)
                    nodes.append([None, None])
                node = below
            nodes[node][code & 1] = ~symbol
            code += 1
    # What is left is the end of string, which no string may hold; see `_after`.
    return [[_ROOT if branch is None else branch for branch in branches] for branches in nodes]


def _after(tree: list[list[int]], node: int, nibble: int) -> tuple[int, int] | None:
    """Return the node after four more bits and the symbol they complete; None if none can be."""
    symbol = _NO_SYMBOL
    for shift in (3, 2, 1, 0):
        branch = tree[node][nibble >> shift & 1]
        if branch == _ROOT:
            return None
        if branch < 0:
            symbol, node = ~branch, _ROOT
        else:
            node = branch
    return node, symbol


def _padding(tree: list[list[int]]) -> frozenset[int]:
    """Return the nodes at which a string may end: a few ones after the last symbol."""
    nodes = [_ROOT]
    for _ in range(_PADDING_BITS_MAX):
        nodes.append(tree[nodes[-1]][1])
    return frozenset(nodes)


_TREE: Final = _tree()
_STEPS: Final = [
    [_after(_TREE, node, nibble) for nibble in range(16)] for node in range(len(_TREE))
]
_ENDS: Final = _padding(_TREE)


def decode(octets: bytes) -> bytes:
    """Return the text; raises BadHuffman. What ends it must be at most seven bits of ones."""
    found = bytearray()
    node = _ROOT
    for octet in octets:
        for nibble in (octet >> 4, octet & 15):
            step = _STEPS[node][nibble]
            if step is None:
                raise BadHuffman("no symbol has this code")
            node, symbol = step
            if symbol != _NO_SYMBOL:
                found.append(symbol)
    if node not in _ENDS:
        raise BadHuffman("the padding is wrong")
    return bytes(found)
