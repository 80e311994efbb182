"""Calls that a task answers: streams, and calls with more to ask for than a callback can."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway import endpoint
from gateway.edge.http2 import answers, frames
from gateway.edge.http2.calls import DEADLINE, Call
from gateway.errors import Refused
from gateway.streams import Gone

if TYPE_CHECKING:
    from gateway.edge.http2.peer import Peer


class OpenCall(Call):
    """A call that a task answers, message by message: a stream, or a call with more to ask for."""

    __slots__ = (
        *("_arrived", "_is_deaf", "_messages", "_sent", "_task", "_timer"),
        *("bytes_max", "expects_one"),
    )

    def __init__(
        self,
        peer: "Peer",
        stream: int,
        now: float,
        timeout_seconds: float | None,
        *,
        expects_one: bool,
        bytes_max: int,
    ) -> None:
        super().__init__(peer, stream, now)
        self.expects_one = expects_one
        self.bytes_max = bytes_max
        self._messages: deque[bytes | Refused] = deque()
        self._is_deaf = False
        self._arrived: asyncio.Future[None] | None = None
        self._sent: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if timeout_seconds is not None:
            self.deadline = now + timeout_seconds
            self._timer = peer.loop.call_later(timeout_seconds, self._run_out)

    def run(self, work: Callable[["OpenCall"], Awaitable[None]]) -> None:
        """Answer the call by this work, which ends it or raises Refused."""
        self._task = self.peer.begin(self._run(work))

    async def _run(self, work: Callable[["OpenCall"], Awaitable[None]]) -> None:
        try:
            await work(self)
        except Gone:
            self.peer.reset(self, frames.CANCEL)
        except BaseException as error:
            if not self.is_over:
                self.refuse(endpoint.as_refusal(error, "call"))
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise
        finally:
            self._task = None

    async def read(self) -> bytes | None:
        """Return the next message; None when there is none any more; raises Refused."""
        while not self._messages:
            if self.is_ended or self.is_over:
                return None
            self._arrived = self.peer.loop.create_future()
            await self._arrived
        message = self._messages.popleft()
        if isinstance(message, Refused):
            raise message
        self._hold(-len(message))
        if not self._messages:
            self._grant()
        return message

    async def only_message(self) -> bytes:
        """Return the one message of a unary call; raises Refused."""
        message = await self.read()
        if message is None or await self.read() is not None:
            raise Refused("MESSAGE_MALFORMED")
        return message

    async def write(self, message: bytes) -> None:
        """Send a message of the answer, and return once it is on its way; raises Gone."""
        if self.is_over:
            raise Gone
        outbox = self.peer.outbox
        outbox.head(self)
        try:
            is_sent = outbox.message(self, message)
        except frames.BadConnection as bad:
            self.peer.end(bad)
            raise Gone from None
        if not is_sent:
            self._sent = self.peer.loop.create_future()
            await self._sent

    def end_well(self, *, replayed: bool = False) -> None:
        """End the call; everything is answered."""
        if not self.is_over:
            block = answers.REPLAYED_BLOCK if replayed else answers.GOOD_BLOCK
            self._end(block if self.has_head else answers.HEAD_BLOCK + block)

    def end_with(self, block: bytes) -> None:
        """End the call with these headers and nothing else."""
        if not self.is_over:
            self._end(block)

    def data(self, octets: bytes, frame_bytes: int, ends: bool) -> None:
        self.is_ended = ends
        self._receive(frame_bytes)
        if not self._is_deaf:
            self._listen(octets)
        if not self._messages:
            self._grant()
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _listen(self, octets: bytes) -> None:
        try:
            for message in self._messages_in(octets):
                self._messages.append(message)
                self._hold(len(message))
        except Refused as refused:
            # What came before it is still carried out; nothing that comes after it is.
            self._messages.append(refused)
            self._is_deaf = True

    def sent(self) -> None:
        if self._sent is not None and not self._sent.done():
            self._sent.set_result(None)

    def expire(self) -> None:
        super().expire()
        self._stop()

    def left(self) -> None:
        self._close()
        self._stop()

    def _run_out(self) -> None:
        self.refuse_plainly(*DEADLINE)
        self._stop()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _close(self) -> None:
        super()._close()
        self._messages.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
