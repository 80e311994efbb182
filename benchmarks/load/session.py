"""Connections of the generator: some to one target, opened again when the peer sends them away."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from benchmarks.http2 import hpack
from benchmarks.http2.connection import Connection, Reply

CONNECT_SECONDS_MAX: Final = 10.0
RECONNECTS_MAX: Final = 100
RECONNECT_PAUSE_SECONDS: Final = 0.1
AGENT: Final = b"tender-bench"


class Target(NamedTuple):
    """Where calls go."""

    host: str
    port: int
    api_key: str
    timeout_seconds: int = 10
    ca_file: str = ""
    """PEM roots of a server that speaks TLS; without TLS when empty."""

    def tls(self) -> ssl.SSLContext | None:
        """Return how to speak TLS, if at all."""
        if not self.ca_file:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        context.set_alpn_protocols(["h2"])
        return context

    def metadata(self) -> tuple[hpack.Header, ...]:
        """Return what goes along with every call."""
        return (
            (b"user-agent", AGENT),
            (b"grpc-timeout", b"%dS" % self.timeout_seconds),
            (b"authorization", b"Bearer " + self.api_key.encode()),
        )


OnReply = Callable[[Connection, Any, Reply], None]


class Session:
    """Holds a number of connections open. Implements benchmarks.http2.connection.Client."""

    def __init__(
        self, target: Target, on_reply: OnReply, on_open: Callable[[Connection], None]
    ) -> None:
        """`on_open` is told of each connection that comes to be ready."""
        self._target, self._tls = target, target.tls()
        self._on_reply = on_reply
        self._on_open = on_open
        self._waiting: dict[Connection, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self.connections: list[Connection] = []
        self.problem = ""
        """Why the last attempt to open a connection failed."""

    async def open(self, count: int) -> None:
        """Open the connections and wait until calls may begin on all."""
        for _ in range(count):
            await self._connect()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        target = self._target
        connection = Connection(
            self,
            f"{target.host}:{target.port}",
            target.metadata(),
            scheme=b"http" if self._tls is None else b"https",
        )
        ready = self._waiting[connection] = loop.create_future()
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            await loop.create_connection(
                lambda: connection, target.host, target.port, ssl=self._tls
            )
            await ready

    def close(self) -> None:
        """Close every connection."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        for connection in self.connections:
            connection.close()

    def ready(self, connection: Connection) -> None:
        self.connections.append(connection)
        waiting = self._waiting.pop(connection)
        if not waiting.done():
            waiting.set_result(None)
        self._on_open(connection)

    def replied(self, connection: Connection, token: Any, reply: Reply) -> None:
        self._on_reply(connection, token, reply)

    def draining(self, connection: Connection) -> None:
        waiting = self._waiting.pop(connection, None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(ConnectionError("the peer went away before it was ready"))
        if connection in self.connections:
            self.connections.remove(connection)
            if not self._closing:
                task = asyncio.get_running_loop().create_task(self._reconnect())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _reconnect(self) -> None:
        for _ in range(RECONNECTS_MAX):
            try:
                return await self._connect()
            except (OSError, TimeoutError) as error:
                self.problem = f"{type(error).__name__}: {error}"
            await asyncio.sleep(RECONNECT_PAUSE_SECONDS)
