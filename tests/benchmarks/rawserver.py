"""A server that speaks HTTP/2 by hand: sends what a test says, and keeps what it is sent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from benchmarks.http2 import frames, hpack
from benchmarks.http2.connection import Connection, Reply
from benchmarks.load.session import Session, Target

SECONDS_MAX = 10.0
OK_HEAD = ((b":status", b"200"), (b"content-type", b"application/grpc"))
OK_END = ((b"grpc-status", b"0"),)


class Frame(NamedTuple):
    """A frame that the client sent."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Peer:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.encoder = hpack.Encoder(0)

    async def greet(self, settings: dict[int, int] | None = None) -> None:
        """Take the client's preface and say what is allowed."""
        assert await self._reader.readexactly(len(frames.PREFACE)) == frames.PREFACE
        await self.send(frames.settings(settings or {}))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def frame(self) -> Frame:
        """Return the next frame."""
        head = await self._reader.readexactly(frames.HEADER_BYTES)
        high, low, kind, flags, stream = frames.HEAD.unpack(head)
        payload = await self._reader.readexactly(high << 8 | low)
        return Frame(kind, flags, stream, payload)

    async def frame_of(self, *kinds: int) -> Frame:
        """Return the next frame of some kinds."""
        while True:
            found = await self.frame()
            if found.kind in kinds and not (found.kind == frames.SETTINGS and found.flags):
                return found

    async def call(self) -> tuple[int, bytes]:
        """Return the next call's stream and its whole message."""
        body = b""
        while True:
            found = await self.frame_of(frames.DATA)
            body += found.payload
            if found.flags & frames.END_STREAM:
                return found.stream, body

    def block(self, headers: tuple[hpack.Header, ...]) -> bytes:
        """Return a header block that uses no table."""
        return self.encoder.encode(headers)

    def answer(self, stream: int, body: bytes) -> bytes:
        """Return the frames of an OK answer."""
        message = b"\0" + len(body).to_bytes(4) + body
        end = frames.END_HEADERS | frames.END_STREAM
        return (
            frames.frame(frames.HEADERS, frames.END_HEADERS, stream, self.block(OK_HEAD))
            + frames.frame(frames.DATA, 0, stream, message)
            + frames.frame(frames.HEADERS, end, stream, self.block(OK_END))
        )


class Client(NamedTuple):
    """The generator's side: a session of one connection, and the replies that came."""

    session: Session
    replies: "asyncio.Queue[tuple[Any, Reply]]"

    @property
    def connection(self) -> Connection:
        return self.session.connections[0]

    async def reply(self) -> tuple[Any, Reply]:
        """Return the next reply and the token of its call."""
        async with asyncio.timeout(SECONDS_MAX):
            return await self.replies.get()


@asynccontextmanager
async def talking(behave: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[Client]:
    """Let a client talk with a server that behaves so on each of its connections."""
    failures: list[BaseException] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(SECONDS_MAX):
                await behave(Peer(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # The client left.
        except BaseException as error:
            failures.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    replies: asyncio.Queue[tuple[Any, Reply]] = asyncio.Queue()
    session = Session(
        Target("127.0.0.1", port, "key"),
        lambda _connection, token, reply: replies.put_nowait((token, reply)),
        lambda _connection: None,
    )
    await session.open(1)
    yield Client(session, replies)
    session.close()
    server.close()
    await server.wait_closed()
    assert not failures, failures
