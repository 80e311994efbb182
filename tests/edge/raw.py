"""A client that may break every rule: it sends octets and shows the frames that come back.

Frames and header compression are those of the load generator, so that nothing here is shared with
the server.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from benchmarks.http2 import frames, hpack
from kit import addresses
from tests.gateway import conftest, requests
from tests.gateway.conftest import Stack

SECONDS_MAX = 10.0
AUTHORIZE = conftest.path_of("AuthorizePayment").encode()


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._decoder = hpack.Decoder()

    def send(self, *octets: bytes) -> None:
        self.writer.write(b"".join(octets))

    async def frame(self) -> Frame | None:
        """Return the next frame; None at the end of the connection."""
        async with asyncio.timeout(SECONDS_MAX):
            try:
                head = await self._reader.readexactly(frames.HEADER_BYTES)
                high, low, kind, flags, stream = frames.HEAD.unpack(head)
                return Frame(kind, flags, stream, await self._reader.readexactly(high << 8 | low))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None

    async def next(self, *kinds: int) -> Frame:
        """Return the next frame of one of these kinds, and pass over all others."""
        while True:
            frame = await self.frame()
            assert frame is not None, "the connection ended"
            if frame.kind in kinds:
                return frame

    async def goaway(self) -> tuple[int, int]:
        """Return the last stream and the code with which the connection ends."""
        found = frames.read_goaway((await self.next(frames.GOAWAY)).payload)
        while await self.frame() is not None:
            pass
        return found

    def headers(self, frame: Frame) -> dict[str, str]:
        decoded = self._decoder.decode(frame.payload)
        return {name.decode(): value.decode() for name, value in decoded}

    async def answer(self, stream: int) -> tuple[dict[str, str], bytes]:
        """Return all headers and the data of a stream, to its end."""
        headers: dict[str, str] = {}
        data = b""
        while True:
            frame = await self.next(frames.HEADERS, frames.DATA, frames.RST_STREAM, frames.GOAWAY)
            # Those of every stream: the table is the connection's.
            decoded = self.headers(frame) if frame.kind == frames.HEADERS else {}
            if frame.stream != stream:
                continue
            if frame.kind == frames.HEADERS:
                headers |= decoded
            elif frame.kind == frames.DATA:
                data += frame.payload
            else:
                raise AssertionError(f"the stream was cut off: {frame}")
            if frame.flags & frames.END_STREAM:
                return headers, data


def request_headers(path: bytes, key: str, *more: hpack.Header) -> tuple[hpack.Header, ...]:
    return (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"test"),
        (b"content-type", b"application/grpc"),
        (b"authorization", f"Bearer {key}".encode()),
        *more,
    )


def block(headers: tuple[hpack.Header, ...]) -> bytes:
    """Encode headers so that no table is used."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)


def _text(text: bytes) -> bytes:
    return hpack.encode_integer(len(text), 7, 0) + text


def open_call(stream: int, headers: tuple[hpack.Header, ...], flags: int = 0) -> bytes:
    return frames.frame(frames.HEADERS, frames.END_HEADERS | flags, stream, block(headers))


def message(body: bytes) -> bytes:
    return b"\0" + frames.NUMBER.pack(len(body)) + body


def data(stream: int, octets: bytes, flags: int = frames.END_STREAM) -> bytes:
    return frames.frame(frames.DATA, flags, stream, octets)


def authorize(stack: Stack, stream: int, request_id: str = "r", *more: hpack.Header) -> bytes:
    """Return the frames of one whole call."""
    headers = request_headers(AUTHORIZE, stack.keys["service"], *more)
    body = requests.authorize(request_id).SerializeToString()
    return open_call(stream, headers) + data(stream, message(body))


@asynccontextmanager
async def connected(
    stack: Stack, settings: dict[int, int] | None = None, *, greets: bool = True
) -> AsyncIterator[Raw]:
    host, port = addresses.host_and_port(stack.address)
    reader, writer = await asyncio.open_connection(host, port)
    raw = Raw(reader, writer)
    if greets:
        raw.send(frames.PREFACE, frames.settings(settings or {}))
    try:
        yield raw
    finally:
        writer.close()
