"""Frames of HTTP/2 (RFC 9113): the octets in front of what they carry."""

import struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES: Final = 9
PAYLOAD_BYTES_MAX: Final = 16_384
"""What every peer takes unless it allows more."""
WINDOW_DEFAULT: Final = 65_535
STREAM_MAX: Final = (1 << 31) - 1

DATA: Final = 0
HEADERS: Final = 1
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

NO_ERROR: Final = 0
CANCEL: Final = 8

HEAD: Final = struct.Struct(">HBBBL")
"""Length (16 and 8 bits), type, flags, stream."""
NUMBER: Final = struct.Struct(">L")
_SETTING: Final = struct.Struct(">HL")
_GOAWAY: Final = struct.Struct(">LL")


class BadFrame(ValueError):
    """The peer breaks the protocol: the connection is of no use any more."""


def start(kind: int, flags: int, length: int) -> bytes:
    """Return a frame's first five octets, those before the stream."""
    return HEAD.pack(length >> 8, length & 0xFF, kind, flags, 0)[:5]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a whole frame."""
    length = len(payload)
    return HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def read_settings(payload: bytes) -> dict[int, int]:
    """Return what a SETTINGS frame says; the last value of a setting counts."""
    if len(payload) % _SETTING.size:
        raise BadFrame("SETTINGS of an odd size")
    return dict(_SETTING.iter_unpack(payload))


def window_update(stream: int, increment: int) -> bytes:
    """Return a frame that lets the peer send more."""
    return frame(WINDOW_UPDATE, 0, stream, NUMBER.pack(increment))


def read_number(payload: bytes) -> int:
    """Return the number of a WINDOW_UPDATE or RST_STREAM."""
    if len(payload) != NUMBER.size:
        raise BadFrame("a frame of the wrong size")
    (number,) = NUMBER.unpack(payload)
    return int(number) & STREAM_MAX


def read_goaway(payload: bytes) -> tuple[int, int]:
    """Return the last stream that the peer may have worked on, and its error code."""
    if len(payload) < _GOAWAY.size:
        raise BadFrame("a GOAWAY that is cut off")
    last, code = _GOAWAY.unpack_from(payload)
    return last & STREAM_MAX, code


def content(payload: bytes, flags: int) -> bytes:
    """Return a DATA or HEADERS payload without padding and priority."""
    first, last = 0, len(payload)
    if flags & PADDED:
        first, last = 1, last - payload[0]
    if flags & PRIORITY:
        first += 5
    if first > last:
        raise BadFrame("more padding than payload")
    return payload[first:last]
