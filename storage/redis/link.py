"""One connection to one node, that many calls share; nothing is ever sent twice over it.

Smaller than the client of the package `redis`, and for one reason: a call of that one costs about
as much CPU as a payment in the gateway, whatever is in it.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from storage.redis.address import Address

UNSENT_BYTES_MAX: Final = 4 << 20
"""What a node that reads nothing may leave in our memory; past it, the link is closed."""

_OK: Final = b"+OK\r\n"

# Its stub knows only tuples of one.
_pack: Final[Callable[[tuple[bytes | str | int, ...]], bytes]] = hiredis.pack_command  # type: ignore[assignment]


def packed(*parts: bytes | str | int) -> bytes:
    """Return a command as it is sent."""
    return _pack(parts)


class LinkLost(Exception):
    """The connection is gone; what was asked may have happened or not."""


class Answered(Exception):
    """The node answered with an error; the text is its own."""


class Link(asyncio.Protocol):
    """A connection; replies come in the order of the calls."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        # For each of them, how many replies come before the one that counts.
        self._ahead: deque[int] = deque()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.is_lost = False
        self.on_lost: Callable[[], None] = _tell_nobody

    def call(self, *parts: bytes | str | int) -> asyncio.Future[Any]:
        """Send a command. The future brings the reply, Answered or LinkLost."""
        return self.send(_pack(parts))

    def send(self, commands: bytes, count: int = 1) -> asyncio.Future[Any]:
        """Send commands, of which the last one's reply counts, or the first error of any."""
        reply: asyncio.Future[Any] = self._loop.create_future()
        transport = self._transport
        if self.is_lost or transport is None:
            reply.set_exception(LinkLost("closed"))
            return reply
        self._waiting.append(reply)
        self._ahead.append(count - 1)
        transport.write(commands)
        if transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            self.close()
        return reply

    def close(self) -> None:
        """Close at once; what waits is lost."""
        if self._transport is not None:
            self._transport.abort()
        self._lose()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # That of uvloop is none by its class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data[:1] == _OK[:1] and self._waiting and not self._reader.has_data():
            data = self._skip_settled(data)
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._answer(reply)
        except (hiredis.ProtocolError, IndexError):
            # Not what was asked for: whoever it is, it is not to be believed.
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose()

    def _skip_settled(self, data: bytes) -> bytes:
        """Leave out what was only to succeed and did, at once and without looking at each."""
        ahead = min(self._ahead[0], len(data) // len(_OK))
        if not data.startswith(_OK * ahead):
            return data
        self._ahead[0] -= ahead
        return data[ahead * len(_OK) :]

    def _answer(self, reply: Any) -> None:
        waiting, ahead = self._waiting[0], self._ahead[0]
        if ahead:
            self._ahead[0] = ahead - 1
            if not isinstance(reply, hiredis.ReplyError):
                return
        else:
            self._waiting.popleft()
            self._ahead.popleft()
        if waiting.done():
            return
        if isinstance(reply, hiredis.ReplyError):
            waiting.set_exception(Answered(str(reply)))
            waiting.exception()  # Whoever does not wait any more need not hear of it.
        else:
            waiting.set_result(reply)

    def _lose(self) -> None:
        if not self.is_lost:
            self.is_lost = True
            self.on_lost()
        self._ahead.clear()
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(LinkLost("lost"))
                waiting.exception()


def _tell_nobody() -> None:
    """For a link that nobody watches."""


async def connect(host: str, port: int, address: Address, *, plain: bool = False) -> Link:
    """Return an open link, logged in; raises OSError, LinkLost or Answered.

    `plain` leaves password and database away, as Sentinels have none of them.
    """
    loop = asyncio.get_running_loop()
    tls = ssl.create_default_context() if address.tls else None
    _, link = await loop.create_connection(Link, host, port, ssl=tls)
    try:
        if address.password and not plain:
            user = (address.username,) if address.username else ()
            await link.call("AUTH", *user, address.password)
        if address.database and not plain:
            await link.call("SELECT", address.database)
    except BaseException:
        link.close()
        raise
    return link
