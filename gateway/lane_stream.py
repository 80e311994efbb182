"""Keeps one stream to the lane open, writes batches to it and reads outcomes from it.

What is sent, and sent again on the next stream, is its owner's business.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

import grpc

from gateway.lane_pipe import LanePipe, PipeAddress, PipeEnded, PipeRefused, open_pipe
from kit import internal_auth, logs, metrics, serving
from tender.v1 import lane_pb2

_EXECUTE: Final = "/tender.v1.LaneService/Execute"
SHARD_KEY: Final = "tender-shard"
BATCH_COMMANDS_MAX: Final = 1_000  # The contract's limit.
# 1,000 outcomes, each as large as the largest request and a little more. A message over the limit
# would break the stream, and again after every re-sending.
RECEIVE_BYTES_MAX: Final = BATCH_COMMANDS_MAX * 80 * 1024
ABSENCE_SECONDS_MAX: Final = 5.0  # A restart takes less; past it, new commands fail at once.
_BACKOFF_SECONDS_MIN: Final = 0.05
_BACKOFF_SECONDS_MAX: Final = 1.0
# Calls are handed over one by one, so that without a pace a message holds one command. On a pipe
# those go together that one round of the event loop brings. On gRPC's streams a message costs ten
# times as much: a lone command waits for nothing; under load they gather for at least a step, and
# for more steps while they are few of those in flight.
_PACE_SECONDS: Final = 0.001
_PACE_STEPS_MAX: Final = 4
_PACE_STEPS_PIPE: Final = 0
_STABLE_SECONDS: Final = 0.2  # A refused stream ends within a round trip.
# A server of grpc.aio can lose a stream without ending it (an abort during a write). Then
# only sending again on another one helps. Long enough for a pause of the disk.
SILENCE_SECONDS_MAX: Final = 4.0
_SILENCE_CHECK_SECONDS: Final = 0.25
_CONNECT_SECONDS_MAX: Final = 5.0

_log = logs.logger()

if TYPE_CHECKING:
    Stream: TypeAlias = grpc.aio.StreamStreamCall[lane_pb2.ExecuteRequest, lane_pb2.ExecuteResponse]
    Execute: TypeAlias = grpc.aio.StreamStreamMultiCallable[
        lane_pb2.ExecuteRequest, lane_pb2.ExecuteResponse
    ]
else:  # At run time they cannot be subscripted.
    Stream = grpc.aio.StreamStreamCall
    Execute = grpc.aio.StreamStreamMultiCallable


class Way(NamedTuple):
    """How a processor is reached: by gRPC, and by a pipe if it takes any."""

    channel: grpc.aio.Channel
    pipe: PipeAddress | None = None


Find = Callable[[], Way | None]
"""Returns the way to the processor that holds the lane; None while nobody is known to."""


class StreamEnded(Exception):
    """The processor closed the stream; it stops, or lost the lane."""


class StreamSilent(Exception):
    """Commands go in and nothing comes out: the other end forgot the stream, or hangs."""


class LaneMoved(Exception):
    """Another processor holds the lane now, or it is reached in another way."""


class LaneAway(Exception):
    """No processor is known to hold the lane."""


# What a stream may end with; anything else is a fault of ours and ends the process.
_BROKEN: Final = (
    grpc.aio.AioRpcError,
    asyncio.InvalidStateError,
    StreamEnded,
    StreamSilent,
    LaneMoved,
    LaneAway,
    PipeEnded,
    PipeRefused,
    OSError,
    TimeoutError,
)


class Owner(Protocol):
    """Whose commands go over the stream."""

    # Set while there is something to send.
    wake: asyncio.Event

    @property
    def in_flight(self) -> int:
        """How many commands are not answered yet."""

    def are_enough(self) -> bool:
        """Whether what waits to be sent is worth a message under load."""

    def next_batch(self) -> lane_pb2.ExecuteRequest:
        """Return what is to be sent now, perhaps nothing."""

    def send_again(self) -> int:
        """A new stream is open: send what is unanswered; return how much went out before."""

    def deliver(self, response: lane_pb2.ExecuteResponse) -> None:
        """Take outcomes in, perhaps none, and which incarnation the lane has."""


class LaneStream:
    """The gateway's end of LaneService.Execute; `run` opens it again whenever it breaks."""

    def __init__(self, owner: Owner, find: Find, token: str, shard: str = "") -> None:
        """Without a shard's name a processor's only lane is meant."""
        self._owner = owner
        self._find = find
        self._token = token
        self._shard = shard
        self._metadata = (
            *internal_auth.metadata(token),
            *(((SHARD_KEY, shard),) if shard else ()),
        )
        self._connected_gauge = metrics.GATEWAY_LANE_CONNECTED.labels(shard)
        self._connected_gauge.set(0)
        self._looks_again = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._is_connected = False
        self._has_answered = False
        self._unheard_since: float | None = None
        self._connected_at = self._absent_since = self._loop.time()
        self._last_failure = ""

    def is_absent(self, now: float) -> bool:
        """Whether the lane was not reached for longer than a restart takes."""
        return not self.is_of_use and now - self._absent_since > ABSENCE_SECONDS_MAX

    @property
    def is_connected(self) -> bool:
        return self._is_connected

    async def run(self) -> None:
        """Keep a stream open until cancelled."""
        backoff = _BACKOFF_SECONDS_MIN
        while True:
            try:
                await self._use_one()
            except* _BROKEN as broken:
                if self.is_of_use:
                    backoff = _BACKOFF_SECONDS_MIN
                    self._absent_since = self._loop.time()
                    self._last_failure = ""
                self._note_disconnected(broken)
            if (this := asyncio.current_task()) is not None and this.cancelling():
                # A group that fails while it is cancelled tells of its failure alone.
                raise asyncio.CancelledError
            # Full jitter: gateways that lost the same processor do not come back in step. Word of
            # the lane's whereabouts ends the wait.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(_BACKOFF_SECONDS_MIN / 2, backoff)):
                    await self._looks_again.wait()
            backoff = min(backoff * 2, _BACKOFF_SECONDS_MAX)

    def look_again(self) -> None:
        """Something is known that was not: the lane may be elsewhere."""
        self._looks_again.set()

    async def _use_one(self) -> None:
        self._looks_again.clear()
        way = self._find()
        if way is None:
            raise LaneAway
        if way.pipe is not None:
            await self._use_pipe(way, way.pipe)
        else:
            await self._use_grpc(way)

    async def _use_pipe(self, way: Way, address: PipeAddress) -> None:
        pipe: LanePipe | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_for_move(way))
                pipe = await open_pipe(
                    address,
                    self._token,
                    self._shard,
                    receive_bytes_max=RECEIVE_BYTES_MAX,
                    deliver=self._deliver,
                )
                self._note_connected("pipe")
                group.create_task(self._write(pipe, _PACE_STEPS_PIPE))
                group.create_task(pipe.ended())
                await self._watch_for_silence()
        finally:
            if pipe is not None:
                pipe.abort()

    async def _use_grpc(self, way: Way) -> None:
        execute: Execute = way.channel.stream_stream(
            _EXECUTE,
            request_serializer=lane_pb2.ExecuteRequest.SerializeToString,
            response_deserializer=lane_pb2.ExecuteResponse.FromString,
        )
        stream = execute(metadata=self._metadata)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_for_move(way))
                async with asyncio.timeout(_CONNECT_SECONDS_MAX):
                    await stream.wait_for_connection()
                self._note_connected("grpc")
                group.create_task(self._write(stream, _PACE_STEPS_MAX))
                group.create_task(self._read(stream))
                # Not a task: a group that fails in its own end leaves its task marked as cancelled.
                await self._watch_for_silence()
        finally:
            stream.cancel()

    @property
    def is_of_use(self) -> bool:
        """Tell a stream that works from one that a processor without its lane ends at once."""
        if self._has_answered:
            return True
        return self._is_connected and self._loop.time() - self._connected_at > _STABLE_SECONDS

    def _note_connected(self, by: str) -> None:
        self._is_connected = True
        self._connected_gauge.set(1)
        self._connected_at = self._loop.time()
        self._unheard_since = None
        resent = self._owner.send_again()
        metrics.GATEWAY_LANE_RESENT.inc(resent)
        _log.info("lane_connected", by=by, commands_resent=resent)

    def _note_disconnected(self, broken: ExceptionGroup[Exception]) -> None:
        self._is_connected = self._has_answered = False
        self._connected_gauge.set(0)
        failure = " ".join(sorted({_failure_name(error) for error in broken.exceptions}))
        if failure != self._last_failure:
            self._last_failure = failure
            _log.warning("lane_disconnected", failure=failure, in_flight=self._owner.in_flight)

    async def _write(self, stream: Stream | LanePipe, steps_max: int) -> None:
        """Send at once when it is quiet, and under load what a moment brings together."""
        owner, sent_at = self._owner, 0.0
        while True:
            await owner.wake.wait()
            if steps_max:
                await self._gather(sent_at, steps_max)
            else:
                await asyncio.sleep(0)
            sent_at = self._loop.time()
            batch = owner.next_batch()
            if batch.commands:
                self._unheard_since = self._unheard_since or sent_at
                await stream.write(batch)

    async def _gather(self, sent_at: float, steps_max: int) -> None:
        are_enough = self._owner.are_enough
        if are_enough() and self._loop.time() - sent_at >= _PACE_SECONDS:
            return
        for _ in range(steps_max):
            await asyncio.sleep(_PACE_SECONDS)
            if are_enough():
                return

    async def _read(self, stream: Stream) -> None:
        while True:
            response = await stream.read()
            if not isinstance(response, lane_pb2.ExecuteResponse):
                # The end of the stream; its status says why unless it ended well.
                code = await stream.code()
                raise StreamEnded(code.name)
            self._deliver(response)

    def _deliver(self, response: lane_pb2.ExecuteResponse) -> None:
        if response.outcomes:
            self._has_answered = True
            self._unheard_since = None
        self._owner.deliver(response)

    async def _watch_for_move(self, way: Way) -> None:
        while True:
            await self._looks_again.wait()
            self._looks_again.clear()
            if self._find() not in (None, way):
                self._looks_again.set()  # There is no reason to wait before going there.
                raise LaneMoved

    async def _watch_for_silence(self) -> None:
        while True:
            await asyncio.sleep(_SILENCE_CHECK_SECONDS)
            since = self._unheard_since
            if since is not None and self._loop.time() - since > SILENCE_SECONDS_MAX:
                raise StreamSilent


def create_channel(target: str) -> grpc.aio.Channel:
    """Return a channel that takes outcomes of any size that there may be."""
    return grpc.aio.insecure_channel(target, options=serving.client_options(RECEIVE_BYTES_MAX))


def _failure_name(error: Exception) -> str:
    match error:
        case grpc.aio.AioRpcError():
            return error.code().name
        case StreamEnded():
            return f"ENDED_{error}"
        case PipeRefused():
            return f"REFUSED_{error}"
        case _:
            return type(error).__name__
