"""Answers as they go out: header blocks that leave the peer's dynamic table alone."""

import base64
import functools
from typing import Any, Final

import grpc

from gateway.edge.http2 import frames
from gateway.errors import Refused

_STATUS_200: Final = b"\x88"  # In the static table, as the names of the next two.
_STATUS_NAME: Final = 8
_CONTENT_TYPE_NAME: Final = 31
_LAST_TEXTS_MAX: Final = 1_024


def _integer(value: int, bits: int) -> bytes:
    """Return a number of a literal that enters no table."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([value])
    octets = [limit]
    value -= limit
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


def _text(text: bytes) -> bytes:
    return _integer(len(text), 7) + text


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + _text(name) + _text(value)


def _indexed_name(index: int, value: bytes) -> bytes:
    return _integer(index, 4) + _text(value)


HEAD_BLOCK: Final = _STATUS_200 + _indexed_name(_CONTENT_TYPE_NAME, b"application/grpc")
GOOD_BLOCK: Final = _literal(b"grpc-status", b"0")
REPLAYED_BLOCK: Final = GOOD_BLOCK + _literal(b"tender-replayed", b"1")
_ENDS: Final = frames.END_HEADERS | frames.END_STREAM

# A frame is its start, the number of its stream, and the rest.
HEAD_START: Final = frames.start(frames.HEADERS, frames.END_HEADERS, len(HEAD_BLOCK))
GOOD_START: Final = frames.start(frames.HEADERS, _ENDS, len(GOOD_BLOCK))
REPLAYED_START: Final = frames.start(frames.HEADERS, _ENDS, len(REPLAYED_BLOCK))


@functools.lru_cache(maxsize=4_096)
def unary_middle(length: int) -> bytes:
    """Return what is between the stream's first and second number in an answer of this length.

    The headers' block, and the start of the DATA frame.
    """
    return HEAD_BLOCK + frames.start(frames.DATA, 0, length + 5)


@functools.lru_cache(maxsize=4_096)
def prefix(length: int) -> bytes:
    """Return what stands before a message of this length."""
    return b"\0" + frames.NUMBER.pack(length)


def bad_block(refused: Refused, *, has_head: bool) -> bytes:
    """Return the headers that end a call with a refusal, after an answer's head or without one."""
    code: Any = refused.code.value[0]
    return _bad_block(code, refused.message, refused.encoded(), has_head)


def plain_block(code: grpc.StatusCode, message: str, *, has_head: bool) -> bytes:
    """Return the headers that end a call with a status that has no details."""
    number: Any = code.value[0]
    return _bad_block(number, message, b"", has_head)


# Under overload most calls are refused for the same reason.
@functools.lru_cache(maxsize=_LAST_TEXTS_MAX)
def _bad_block(code: int, message: str, details: bytes, has_head: bool) -> bytes:
    block = b"" if has_head else HEAD_BLOCK
    block += _literal(b"grpc-status", str(code).encode())
    block += _literal(b"grpc-message", _percent_encoded(message))
    if details:
        encoded = base64.b64encode(details).rstrip(b"=")
        block += _literal(b"grpc-status-details-bin", encoded)
    return block


def _percent_encoded(message: str) -> bytes:
    return b"".join(
        bytes([octet]) if 0x20 <= octet <= 0x7E and octet != 0x25 else b"%%%02X" % octet
        for octet in message.encode()
    )


def http_block(status: int) -> bytes:
    """Return the headers that are the whole answer to what is no call of gRPC."""
    return _indexed_name(_STATUS_NAME, str(status).encode())
