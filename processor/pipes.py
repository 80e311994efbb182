"""Takes commands from gateways on pipes: what LaneService.Execute does, in a framing of our own."""

import asyncio
import hmac
from typing import Final

import structlog
from google.protobuf.message import DecodeError

from kit import addresses, faults, metrics, serving
from kit.pipe import Pipe
from processor.servicer import LaneServicer, Outbox, submit_all
from tender.v1 import lane_pb2

PIPES_MAX: Final = 1_000
"""Gateways, their workers and shards; each is one connection."""

OPEN_BYTES_MAX: Final = 4 * 1024
"""Of the first message: who sends it is a stranger yet."""

OPEN_SECONDS_MAX: Final = 5.0
"""For the first message to come."""

_METHOD: Final = "Execute"

log = structlog.get_logger()


class LanePipes:
    """Serves any number of gateways, up to a bound. What breaks leaves its commands running."""

    def __init__(self, servicer: LaneServicer, token: str) -> None:
        self.servicer = servicer
        self.token = token.encode()
        self.meter = metrics.RpcMeter("processor", _METHOD)
        self.pipes: set[GatewayPipe] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, address: str) -> int:
        """Take pipes in from now on; return the port. Raises OSError when it is taken."""
        host, port = addresses.host_and_port(address)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: GatewayPipe(self), host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, grace_seconds: float) -> None:
        """Take no more in, and end those that are left once their outcomes are sent."""
        if self._server is not None:
            self._server.close()
        answering = [task for pipe in self.pipes if (task := pipe.finish()) is not None]
        if answering:
            await asyncio.wait(answering, timeout=grace_seconds)
        for pipe in tuple(self.pipes):
            pipe.abort()


class GatewayPipe(Pipe):
    """The processor's end."""

    def __init__(self, pipes: LanePipes) -> None:
        super().__init__(OPEN_BYTES_MAX)
        self._pipes = pipes
        self._outbox: Outbox | None = None
        self._answering: asyncio.Task[None] | None = None
        self._late: asyncio.TimerHandle | None = None
        self._code = "CANCELLED"
        self._is_refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first message, if there is room."""
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._late = loop.call_later(OPEN_SECONDS_MAX, self.abort)
        self._pipes.pipes.add(self)

    def received(self, message: bytes) -> None:
        """Take the first message, or commands."""
        try:
            if self._outbox is None and not self._is_refused:
                self._open(message)
            elif self._outbox is not None:
                submit_all(lane_pb2.ExecuteRequest.FromString(message), self._outbox)
                if self._outbox.is_full:
                    self.pause()
        except Exception as error:
            # Its gateway sends again what is unanswered.
            faults.record("processor", _METHOD, error)
            self._code = "INTERNAL"
            self.abort()

    def finish(self) -> "asyncio.Task[None] | None":
        """Let what is answered already be sent, and end then; return who sends it."""
        if self._outbox is not None:
            self._outbox.close()
        return self._answering

    def lost(self, error: Exception | None) -> None:
        """Forget the gateway; its commands run on."""
        self._pipes.pipes.discard(self)
        if self._late is not None:
            self._late.cancel()
        if self._outbox is not None:
            self._pipes.servicer.leave(self._outbox)
            self._outbox.close()
        if self._answering is not None:
            self._answering.cancel()
        self._pipes.meter.count(self._code)

    def _open(self, message: bytes) -> None:
        assert self._late is not None
        self._late.cancel()
        refusal = self._refusal(message)
        self.send(lane_pb2.OpenPipeResponse(refusal=refusal).SerializeToString())
        if self._outbox is None:
            self._code = refusal
            self._is_refused = True
            self.close()
            return
        self.receive_bytes_max = serving.RECEIVE_BYTES_MAX
        self._answering = asyncio.get_running_loop().create_task(self._answer(self._outbox))

    def _refusal(self, message: bytes) -> str:
        """Open the pipe, or return why not."""
        try:
            asked = lane_pb2.OpenPipeRequest.FromString(message)
        except DecodeError:
            return "UNAUTHENTICATED"
        if not hmac.compare_digest(asked.token.encode(), self._pipes.token):
            return "UNAUTHENTICATED"
        if len(self._pipes.pipes) > PIPES_MAX:
            return "RESOURCE_EXHAUSTED"
        self._outbox = self._pipes.servicer.open(asked.shard)
        return "" if self._outbox is not None else "UNAVAILABLE"

    async def _answer(self, outbox: Outbox) -> None:
        try:
            while True:
                await outbox.filled.wait()
                response = outbox.take()
                if response is not None:
                    self.send(response.SerializeToString())
                    await self.drained()
                    if not outbox.is_full:
                        self.resume()
                elif outbox.closed:
                    break
            self._code = "OK"
            self.close()
        except Exception as error:
            faults.record("processor", _METHOD, error)
            self._code = "INTERNAL"
            self.abort()
