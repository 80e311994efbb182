"""The gateway's end of a pipe to a lane: what LaneService.Execute is, at less cost a message."""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from kit.pipe import Pipe
from tender.v1 import lane_pb2

OPEN_SECONDS_MAX: Final = 5.0
"""For the connection, and for the processor's first message."""


class PipeAddress(NamedTuple):
    """Where a processor takes pipes in."""

    host: str
    port: int


class PipeRefused(Exception):
    """The processor would not open the pipe; the text is its refusal."""


class PipeEnded(Exception):
    """The processor closed the pipe, or the connection broke."""


class LanePipe(Pipe):
    """An open pipe; `open_pipe` makes it."""

    def __init__(
        self, receive_bytes_max: int, deliver: Callable[[lane_pb2.ExecuteResponse], None]
    ) -> None:
        super().__init__(receive_bytes_max)
        self._deliver = deliver
        loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()

    def received(self, message: bytes) -> None:
        """Take in whether it is open, or outcomes."""
        if self._ended.done():
            return
        try:
            if self._opened.done():
                self._deliver(lane_pb2.ExecuteResponse.FromString(message))
                return
            refusal = lane_pb2.OpenPipeResponse.FromString(message).refusal
        except DecodeError:
            self._break(PipeEnded("DecodeError"))
        except Exception as error:
            # A fault of ours: whoever keeps the pipe has it.
            self._break(error)
        else:
            if refusal:
                self._break(PipeRefused(refusal))
            else:
                self._opened.set_result(None)

    def lost(self, error: Exception | None) -> None:
        """Take note of the end."""
        self._end(PipeEnded(type(error).__name__ if error else ""))

    async def opened(self, token: str, shard: str) -> None:
        """Ask for a shard's lane; raises PipeRefused or PipeEnded."""
        self.send(lane_pb2.OpenPipeRequest(token=token, shard=shard).SerializeToString())
        await asyncio.wait([self._opened, self._ended], return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done():
            await self._ended

    async def write(self, batch: lane_pb2.ExecuteRequest) -> None:
        """Send commands; returns once the processor takes more."""
        self.send(batch.SerializeToString())
        await self.drained()

    async def ended(self) -> None:
        """Raise PipeEnded at its end, or what went wrong in taking outcomes in."""
        await asyncio.shield(self._ended)

    def _break(self, error: Exception) -> None:
        self._end(error)
        self.abort()

    def _end(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
            # It may be that nobody waits for it any more.
            self._ended.exception()


async def open_pipe(
    address: PipeAddress,
    token: str,
    shard: str,
    *,
    receive_bytes_max: int,
    deliver: Callable[[lane_pb2.ExecuteResponse], None],
) -> LanePipe:
    """Open a pipe to a lane; `deliver` gets its outcomes.

    Raises OSError, TimeoutError, PipeRefused or PipeEnded.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(OPEN_SECONDS_MAX):
        _, pipe = await loop.create_connection(
            lambda: LanePipe(receive_bytes_max, deliver), address.host, address.port
        )
        try:
            await pipe.opened(token, shard)
        except BaseException:
            pipe.abort()
            raise
    return pipe
