"""A receiver of webhooks on a socket of its own, that answers as well or as badly as it is told."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

REQUEST_BYTES_MAX = 1 << 20
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: str

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """Keeps what comes, and answers each request by what `answer` returns for it."""

    answer: Callable[[Received], bytes | Answer]
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    names: list[str | None] = field(default_factory=list)
    """What TLS clients asked for."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?of=tender"

    @property
    def event_ids(self) -> list[str]:
        return [one.event_id for one in self.received]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await read_request(reader)
        self.received.append(received)
        answer = self.answer(received)
        if isinstance(answer, bytes):
            writer.write(answer)
            await writer.drain()
            return
        await answer(reader, writer)
        raise ConnectionResetError


async def read_request(reader: asyncio.StreamReader) -> Received:
    """Read one request. Raises IncompleteReadError at the end of the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *fields = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in fields)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(line, headers, body.decode())


def status(code: int, *headers: str, body: bytes = b"") -> bytes:
    """Return a whole answer."""
    fields = "".join(f"{one}\r\n" for one in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {code} Whatever\r\n{fields}\r\n".encode() + body


@contextlib.asynccontextmanager
async def receiving(
    answer: Callable[[Received], bytes | Answer], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Run a receiver on a free port of this machine."""
    receiver = Receiver(answer)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(receiver.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: receiver.names.append(name)
    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, limit=REQUEST_BYTES_MAX)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
