"""What a call's header block says: the method, the metadata, how long the caller waits."""

import base64
import binascii
import re
from typing import Final

from gateway.edge.http2 import hpack
from gateway.endpoint import CommandEndpoint
from gateway.identity import Identity

_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_SECONDS: Final = {b"H": 3_600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_CONTENT_TYPE: Final = re.compile(rb"application/grpc([+;].*)?", re.DOTALL | re.IGNORECASE)
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_REQUIRED: Final = (b":method", b":scheme", b":path")
# They say something of the one hop of HTTP/1 and have no meaning here.
_OF_A_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
# Of the transport, not of the caller.
_NOT_METADATA: Final = frozenset({b"te", b"content-type", b"grpc-timeout", b"grpc-encoding"})
_POST: Final = b"POST"


class BadHead(Exception):
    """The block is no request of HTTP/2: its stream is reset."""


class Head:
    """One header block, read. Equal blocks share it, with what was found out from it."""

    __slots__ = (
        *("caller", "checked_at", "endpoint", "has_bad_timeout", "http_status", "is_too_large"),
        *("metadata", "path", "timeout_seconds"),
    )

    def __init__(self) -> None:
        self.path = ""
        self.metadata: tuple[tuple[str, str | bytes], ...] = ()
        self.timeout_seconds: float | None = None
        self.has_bad_timeout = False
        self.is_too_large = False
        # What to answer when it is no call of gRPC; 200 if it is one.
        self.http_status = 200
        # For calls that need no task: who answers them, who calls, and when that was asked.
        self.endpoint: CommandEndpoint | None = None
        self.caller: Identity | None = None
        self.checked_at = -1.0


def read(block: hpack.Block) -> Head:
    """Return what a block says; raises BadHead."""
    head = Head()
    if block.is_too_large:
        head.is_too_large = True
        return head
    pseudo: dict[bytes, bytes] = {}
    fields: dict[bytes, bytes] = {}
    metadata: list[tuple[str, str | bytes]] = []
    for name, value in block.headers:
        if name[:1] == b":":
            if name not in _PSEUDO or name in pseudo or fields:
                raise BadHead("a pseudo-header that may not be there")
            pseudo[name] = value
            continue
        if not _NAME.fullmatch(name) or name in _OF_A_CONNECTION or _is_bad_value(value):
            raise BadHead("a header that may not be there")
        fields[name] = value
        if name not in _NOT_METADATA:
            metadata.append((name.decode(), _metadata_value(name, value)))
    if not all(pseudo.get(name) for name in _REQUIRED):
        raise BadHead("a pseudo-header is missing")
    head.path = pseudo[b":path"].decode("latin-1")
    head.metadata = tuple(metadata)
    head.http_status = _http_status(pseudo[b":method"], fields.get(b"content-type", b""))
    if (timeout := fields.get(b"grpc-timeout")) is not None:
        head.timeout_seconds = _seconds(timeout)
        head.has_bad_timeout = head.timeout_seconds is None
    return head


def _is_bad_value(value: bytes) -> bool:
    return b"\0" in value or b"\r" in value or b"\n" in value


def _http_status(method: bytes, content_type: bytes) -> int:
    if method != _POST:
        return 405
    return 200 if _CONTENT_TYPE.fullmatch(content_type) else 415


def _seconds(timeout: bytes) -> float | None:
    match = _TIMEOUT.fullmatch(timeout)
    return int(match[1]) * _UNIT_SECONDS[match[2]] if match else None


def _metadata_value(name: bytes, value: bytes) -> str | bytes:
    if not name.endswith(b"-bin"):
        return value.decode("latin-1")
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        raise BadHead("a value that is not base64") from None
