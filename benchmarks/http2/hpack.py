"""HPACK (RFC 7541): decodes the header blocks of one peer, and encodes constant requests."""

from collections import deque
from typing import Final

from benchmarks.http2 import huffman

Header = tuple[bytes, bytes]

TABLE_BYTES_DEFAULT: Final = 4_096
ENTRY_OVERHEAD_BYTES: Final = 32
INTEGER_BYTES_MAX: Final = 6

STATIC: Final[tuple[Header, ...]] = tuple(
    (name, value)
    for name, _, value in (
        line.encode().partition(b" ")
        for line in """\
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
""".splitlines()
    )
)


class BadHeaders(ValueError):
    """The octets are not a header block: the connection is of no use any more."""


class Decoder:
    """Decodes the blocks of one connection, in their order.

    A server's blocks soon repeat byte for byte. While the dynamic table stays as it is, equal bytes
    mean equal headers, so those are decoded once.
    """

    def __init__(self, table_bytes_max: int = TABLE_BYTES_DEFAULT) -> None:
        self._allowed = table_bytes_max
        self._bytes_max = table_bytes_max
        self._bytes = 0
        self._table: deque[Header] = deque()
        self._known: dict[bytes, tuple[Header, ...]] = {}

    def decode(self, block: bytes) -> tuple[Header, ...]:
        """Return the headers; raises BadHeaders."""
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            headers, changed = self._decode(block)
        except (IndexError, huffman.BadHuffman) as error:
            raise BadHeaders(f"{type(error).__name__} in {block.hex()}") from error
        if changed:
            self._known.clear()
        else:
            self._known[block] = headers
        return headers

    def _decode(self, block: bytes) -> tuple[tuple[Header, ...], bool]:
        headers: list[Header] = []
        changed, at = False, 0
        while at < len(block):
            octet = block[at]
            if octet & 0x80:
                index, at = _integer(block, at, 7)
                headers.append(self._entry(index))
            elif octet & 0xE0 == 0x20:
                size, at = _integer(block, at, 5)
                self._resize(size)
                changed = True
            else:
                indexed = octet & 0x40
                header, at = self._read_literal(block, at, 6 if indexed else 4)
                headers.append(header)
                if indexed:
                    self._add(header)
                    changed = True
        return tuple(headers), changed

    def _read_literal(self, block: bytes, at: int, bits: int) -> tuple[Header, int]:
        index, at = _integer(block, at, bits)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = _string(block, at)
        value, at = _string(block, at)
        return (name, value), at

    def _entry(self, index: int) -> Header:
        if index == 0:
            raise BadHeaders("index 0")
        if index <= len(STATIC):
            return STATIC[index - 1]
        return self._table[index - len(STATIC) - 1]

    def _add(self, header: Header) -> None:
        self._table.appendleft(header)
        self._bytes += _size(header)
        self._evict()

    def _resize(self, size: int) -> None:
        if size > self._allowed:
            raise BadHeaders(f"a table of {size} bytes was not allowed")
        self._bytes_max = size
        self._evict()

    def _evict(self) -> None:
        while self._bytes > self._bytes_max:
            self._bytes -= _size(self._table.pop())


def _size(header: Header) -> int:
    return len(header[0]) + len(header[1]) + ENTRY_OVERHEAD_BYTES


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """Return a number whose first octet has this many bits for it, and what comes after."""
    limit = (1 << bits) - 1
    value = block[at] & limit
    at += 1
    if value < limit:
        return value, at
    for shift in range(0, 7 * INTEGER_BYTES_MAX, 7):
        octet = block[at]
        at += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
    raise BadHeaders("a number is too long")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    coded = block[at] & 0x80
    length, at = _integer(block, at, 7)
    text = block[at : at + length]
    if len(text) != length:
        raise BadHeaders("a string is cut off")
    return huffman.decode(text) if coded else text, at + length


class Encoder:
    """Encodes the headers of a client's calls on one connection.

    Headers that repeat enter the server's table with the first call of their kind, as gRPC clients
    have them; from then on the block of a kind is the same bytes in every call. Names in `secret`
    are marked never to be indexed by anybody on the way.
    """

    def __init__(self, table_bytes_max: int, secret: frozenset[bytes] = frozenset()) -> None:
        self._bytes_free = min(table_bytes_max, TABLE_BYTES_DEFAULT)
        # A server that allows less than the default has to be told that its wish is known.
        self._first = (
            b""
            if table_bytes_max >= TABLE_BYTES_DEFAULT
            else (encode_integer(table_bytes_max, 5, 0x20))
        )
        self._secret = secret
        self._entries: list[Header] = []
        self._blocks: dict[tuple[Header, ...], bytes] = {}

    def encode(self, headers: tuple[Header, ...]) -> bytes:
        """Return the block of these headers, to be sent before any other that is asked for."""
        block = self._blocks.get(headers)
        if block is not None:
            return block
        count = len(self._entries)
        block = b"".join(map(self._encoded, headers))
        if self._first:
            first, self._first = self._first, b""
            return first + block
        if len(self._entries) == count:
            self._blocks[headers] = block
        else:
            self._blocks.clear()  # Every entry of the table has another number now.
        return block

    def _encoded(self, header: Header) -> bytes:
        if header in STATIC:
            return encode_integer(STATIC.index(header) + 1, 7, 0x80)
        if header in self._entries:
            position = len(self._entries) - self._entries.index(header)
            return encode_integer(len(STATIC) + position, 7, 0x80)
        if header[0] in self._secret:
            return _literal(header, 4, 0x10)
        if _size(header) > self._bytes_free:
            return _literal(header, 4, 0)
        self._bytes_free -= _size(header)
        self._entries.append(header)
        return _literal(header, 6, 0x40)


def encode_integer(value: int, bits: int, pattern: int) -> bytes:
    """Return a number with its pattern in the bits above it."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([pattern | value])
    octets = [pattern | limit]
    value -= limit
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


def _literal(header: Header, bits: int, pattern: int) -> bytes:
    name, value = header
    index = next((at for at, one in enumerate(STATIC, start=1) if one[0] == name), 0)
    start = encode_integer(index, bits, pattern)
    return start + (b"" if index else _text(name)) + _text(value)


def _text(text: bytes) -> bytes:
    return encode_integer(len(text), 7, 0) + text
