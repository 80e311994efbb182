"""Frames of HTTP/2 (RFC 9113): the octets in front of what they carry."""

import struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES: Final = 9
PAYLOAD_BYTES_MAX: Final = 16_384  # What every peer takes unless it allows more.
WINDOW_DEFAULT: Final = 65_535
WINDOW_MAX: Final = (1 << 31) - 1
STREAM_MAX: Final = (1 << 31) - 1

DATA: Final = 0
HEADERS: Final = 1
PRIORITY_FRAME: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY: Final = 0x20

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

NO_ERROR: Final = 0
PROTOCOL_ERROR: Final = 1
INTERNAL_ERROR: Final = 2
FLOW_CONTROL_ERROR: Final = 3
STREAM_CLOSED: Final = 5
FRAME_SIZE_ERROR: Final = 6
REFUSED_STREAM: Final = 7
CANCEL: Final = 8
COMPRESSION_ERROR: Final = 9
ENHANCE_YOUR_CALM: Final = 11

HEAD: Final = struct.Struct(">HBBBL")
"""Length (16 and 8 bits), type, flags, stream."""
NUMBER: Final = struct.Struct(">L")
_SETTING: Final = struct.Struct(">HL")
_GOAWAY: Final = struct.Struct(">LL")
_PRIORITY_BYTES: Final = 5


class BadConnection(Exception):
    """The peer breaks the protocol or asks for too much: its connection ends with this code."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def start(kind: int, flags: int, length: int) -> bytes:
    """Return a frame's first five octets, those before the stream."""
    return HEAD.pack(length >> 8, length & 0xFF, kind, flags, 0)[:5]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a whole frame."""
    length = len(payload)
    return HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def header_frames(stream: int, flags: int, block: bytes) -> bytes:
    """Return a header block in as many frames as it takes."""
    first, rest = block[:PAYLOAD_BYTES_MAX], block[PAYLOAD_BYTES_MAX:]
    parts = [frame(HEADERS, flags | (0 if rest else END_HEADERS), stream, first)]
    while rest:
        part, rest = rest[:PAYLOAD_BYTES_MAX], rest[PAYLOAD_BYTES_MAX:]
        parts.append(frame(CONTINUATION, 0 if rest else END_HEADERS, stream, part))
    return b"".join(parts)


def settings(values: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return what a SETTINGS frame says, in its order; raises BadConnection."""
    if len(payload) % _SETTING.size:
        raise BadConnection(FRAME_SIZE_ERROR, "SETTINGS of an odd size")
    values: list[tuple[int, int]] = list(_SETTING.iter_unpack(payload))
    for name, value in values:
        if name == INITIAL_WINDOW_SIZE and value > WINDOW_MAX:
            raise BadConnection(FLOW_CONTROL_ERROR, "a window that is too large")
        if name == MAX_FRAME_SIZE and not PAYLOAD_BYTES_MAX <= value < 1 << 24:
            raise BadConnection(PROTOCOL_ERROR, "a frame size that may not be")
        if name == ENABLE_PUSH and value > 1:
            raise BadConnection(PROTOCOL_ERROR, "a push setting that may not be")
    return values


def window_update(stream: int, increment: int) -> bytes:
    """Return a frame that lets the peer send more."""
    return frame(WINDOW_UPDATE, 0, stream, NUMBER.pack(increment))


def reset(stream: int, code: int) -> bytes:
    """Return a frame that ends a stream at once."""
    return frame(RST_STREAM, 0, stream, NUMBER.pack(code))


def goaway(last: int, code: int, why: str = "") -> bytes:
    """Return a frame that says which streams are the last."""
    return frame(GOAWAY, 0, 0, _GOAWAY.pack(last, code) + why.encode())


def read_number(payload: bytes) -> int:
    """Return the number of a WINDOW_UPDATE or RST_STREAM."""
    require_size(payload, NUMBER.size)
    (number,) = NUMBER.unpack(payload)
    return int(number) & STREAM_MAX


def require_size(payload: bytes, size: int) -> None:
    """Raise BadConnection unless a payload is that long."""
    if len(payload) != size:
        raise BadConnection(FRAME_SIZE_ERROR, "a frame of the wrong size")


def content(payload: bytes, flags: int) -> bytes:
    """Return a DATA or HEADERS payload without padding and priority."""
    first, last = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise BadConnection(FRAME_SIZE_ERROR, "padding without its length")
        first, last = 1, last - payload[0]
    if flags & PRIORITY:
        first += _PRIORITY_BYTES
    if first > last:
        raise BadConnection(PROTOCOL_ERROR, "more padding than payload")
    return payload[first:last]
