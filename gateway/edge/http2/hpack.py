"""HPACK (RFC 7541): decodes the header blocks of one peer, within bounds."""

from collections import deque
from typing import Final, NamedTuple

from gateway.edge.http2 import huffman, limits

Header = tuple[bytes, bytes]

TABLE_BYTES_MAX: Final = 4_096
ENTRY_OVERHEAD_BYTES: Final = 32
_INTEGER_OCTETS_MAX: Final = 4  # Enough for every length that fits into a block.

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


class Block(NamedTuple):
    """A decoded header block."""

    headers: tuple[Header, ...]
    # Whether equal bytes would mean something else, or do something, the next time.
    changed_table: bool
    # Whether it holds more than it may; then headers are missing.
    is_too_large: bool


class Decoder:
    """Decodes the blocks of one connection, in their order."""

    def __init__(self) -> None:
        self._bytes_max = TABLE_BYTES_MAX
        self._bytes = 0
        self._table: deque[Header] = deque()

    def decode(self, block: bytes) -> Block:
        """Return the headers; raises BadHeaders."""
        try:
            return self._decode(block)
        except (IndexError, huffman.BadHuffman) as error:
            raise BadHeaders(type(error).__name__) from None

    def _decode(self, block: bytes) -> Block:
        headers: list[Header] = []
        changed, at, size = False, 0, 0
        while at < len(block):
            octet = block[at]
            if octet & 0xE0 == 0x20:
                if headers or size:
                    raise BadHeaders("the table's size changes in the middle of a block")
                table_bytes, at = _integer(block, at, 5)
                self._resize(table_bytes)
                changed = True
                continue
            if octet & 0x80:
                index, at = _integer(block, at, 7)
                header = self._entry(index)
            else:
                is_added = octet & 0x40
                header, at = self._literal(block, at, 6 if is_added else 4)
                if is_added:
                    self._add(header)
                    changed = True
            size += _size(header)
            # What is too much is still decoded, for the table's sake, but not kept.
            if size <= limits.HEADER_LIST_BYTES_MAX:
                headers.append(header)
        return Block(tuple(headers), changed, size > limits.HEADER_LIST_BYTES_MAX)

    def _literal(self, block: bytes, at: int, bits: int) -> tuple[Header, int]:
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
        if size > TABLE_BYTES_MAX:
            raise BadHeaders("a larger table than was allowed")
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
    for shift in range(0, 7 * _INTEGER_OCTETS_MAX, 7):
        octet = block[at]
        at += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
    raise BadHeaders("a number is too long")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    is_coded = block[at] & 0x80
    length, at = _integer(block, at, 7)
    text = block[at : at + length]
    if len(text) != length:
        raise BadHeaders("a string is cut off")
    return huffman.decode(text) if is_coded else text, at + length
