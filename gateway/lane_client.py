"""Carries commands to the lane over one stream, and their outcomes back.

A command belongs to this client and not to the RPC that brought it: an RPC that is cancelled stops
waiting, and that is all. After a broken stream every unanswered command is sent again; the
request_id inside makes that safe.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import grpc

from gateway import reasons
from gateway.commands import AwaitedCommand, Command
from gateway.errors import Refused
from gateway.window import BulkWindow
from kit import internal_auth, logs, metrics, serving
from tender.v1 import lane_pb2

_EXECUTE: Final = "/tender.v1.LaneService/Execute"
BATCH_COMMANDS_MAX: Final = 1_000  # The contract's limit.
BATCH_BYTES_MAX: Final = 768 * 1024  # Below the processor's receive limit of 1 MiB with any rest.
_COMMAND_OVERHEAD_BYTES: Final = 640  # Longest tenant and merchant ids, numbers and tags.
# 1,000 outcomes, each as large as the largest request and a little more. A message over the limit
# would break the stream, and again after every re-sending.
RECEIVE_BYTES_MAX: Final = BATCH_COMMANDS_MAX * 80 * 1024
ABSENCE_SECONDS_MAX: Final = 5.0  # A restart takes less; past it, new commands fail at once.
_BACKOFF_SECONDS_MIN: Final = 0.05
_BACKOFF_SECONDS_MAX: Final = 1.0
# gRPC hands calls over one by one, so that without a pace a message holds one command, and each
# message costs both ends about 90 us of CPU. A lone command waits for nothing; under load they
# gather for at least a step, and for more steps while they are few of those in flight.
_PACE_SECONDS: Final = 0.001
_PACE_STEPS_MAX: Final = 4
_PACE_COMMANDS: Final = 32
_PACE_SHARE: Final = 4
_STABLE_SECONDS: Final = 0.2  # A refused stream ends within a round trip.
# A server of grpc.aio can lose a stream without ending it (an abort during a write). Then
# only sending again on another one helps. Long enough for a pause of the disk.
SILENCE_SECONDS_MAX: Final = 4.0
_SILENCE_CHECK_SECONDS: Final = 0.25
_CONNECT_SECONDS_MAX: Final = 5.0
_SWEEP_SECONDS: Final = 0.05  # A client with a shorter deadline is told by its own gRPC.

_log = logs.logger()

if TYPE_CHECKING:
    Stream: TypeAlias = grpc.aio.StreamStreamCall[lane_pb2.ExecuteRequest, lane_pb2.ExecuteResponse]
    Execute: TypeAlias = grpc.aio.StreamStreamMultiCallable[
        lane_pb2.ExecuteRequest, lane_pb2.ExecuteResponse
    ]
else:  # At run time they cannot be subscripted.
    Stream = grpc.aio.StreamStreamCall
    Execute = grpc.aio.StreamStreamMultiCallable


class StreamEnded(Exception):
    """The processor closed the stream; it stops, or lost the lane."""


class StreamSilent(Exception):
    """Commands go in and nothing comes out: the other end forgot the stream, or hangs."""


# What a stream may end with; anything else is a fault of ours and ends the process.
_BROKEN: Final = (
    grpc.aio.AioRpcError,
    asyncio.InvalidStateError,
    StreamEnded,
    StreamSilent,
    TimeoutError,
)


class LaneClient:
    """The gateway's end of LaneService.Execute; `run` keeps it going until `close`."""

    def __init__(self, channel: grpc.aio.Channel, token: str, *, in_flight_max: int) -> None:
        self._execute: Execute = channel.stream_stream(
            _EXECUTE,
            request_serializer=lane_pb2.ExecuteRequest.SerializeToString,
            response_deserializer=lane_pb2.ExecuteResponse.FromString,
        )
        self._metadata = internal_auth.metadata(token)
        self._in_flight_max = in_flight_max
        self._bulk_window = BulkWindow(in_flight_max)
        self._settled_count = 0
        self._loop = asyncio.get_running_loop()
        # In order of arrival, which is the order in which they are sent again.
        self._commands: dict[int, Command] = {}
        self._unsent: list[int] = []
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._last_correlation_id = 0
        self._is_closing = False
        self._is_connected = False
        self._has_answered = False
        self._unheard_since: float | None = None
        self._connected_at = self._absent_since = self._loop.time()
        self._last_failure = ""

    def submit(
        self, method: int, request: bytes, principal: lane_pb2.Principal, timeout_seconds: float
    ) -> asyncio.Future[lane_pb2.Outcome]:
        """Send a command with whatever else arrives in this turn of the loop.

        The future brings the outcome, or Refused. Cancelling it changes nothing but who listens.
        """
        outcome: asyncio.Future[lane_pb2.Outcome] = self._loop.create_future()
        self.send(AwaitedCommand(method, request, principal, 0, outcome), timeout_seconds)
        return outcome

    def send(self, command: Command, timeout_seconds: float) -> None:
        """Send a single command, which hears of its outcome itself; raises Refused."""
        now = self._loop.time()
        self._require_open(now)
        if len(self._commands) >= self._in_flight_max:
            raise Refused("GATEWAY_BUSY")
        command.deadline = now + timeout_seconds
        self._put(command)

    @property
    def bulk_room(self) -> int:
        """How many bulk commands may be sent now; single calls come first."""
        return max(self._bulk_window.commands - len(self._commands), 0)

    async def submit_as_room_comes(self, commands: Sequence[Command]) -> None:
        """Send commands of a bulk call in their order, as many at a time as there is room for.

        Those that cannot be sent any more, or when this is cancelled, are refused one by one.
        """
        left = deque(commands)
        try:
            while left:
                while self.bulk_room == 0:
                    self._settled.clear()
                    await self._settled.wait()
                count = min(self.bulk_room, len(left))
                self._submit_or_refuse([left.popleft() for _ in range(count)])
        finally:
            for command in left:
                command.refused("SHUTTING_DOWN")

    def _submit_or_refuse(self, commands: Sequence[Command]) -> None:
        try:
            self._require_open(self._loop.time())
        except Refused as refused:
            for command in commands:
                command.refused(refused.reason)
        else:
            for command in commands:
                self._put(command)

    def _require_open(self, now: float) -> None:
        if self._is_closing:
            raise Refused("SHUTTING_DOWN")
        if not self._is_of_use() and now - self._absent_since > ABSENCE_SECONDS_MAX:
            raise Refused("SHARD_UNAVAILABLE")

    def _put(self, command: Command) -> None:
        # Never used twice, so that no outcome can reach another's call.
        correlation_id = self._last_correlation_id = self._last_correlation_id + 1
        self._commands[correlation_id] = command
        if not self._unsent:
            self._wake.set()
        self._unsent.append(correlation_id)

    async def run(self) -> None:
        """Keep a stream open and watch deadlines until cancelled."""
        with metrics.IN_FLIGHT.watching(self._commands):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sweep_regularly())
                group.create_task(self._reconnect_for_ever())

    async def drain(self, timeout_seconds: float) -> None:
        """Take no more commands and wait until those in flight are answered."""
        self._is_closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self._commands:
                    self._settled.clear()
                    await self._settled.wait()
        self._give_up(tuple(self._commands))

    async def _reconnect_for_ever(self) -> None:
        backoff = _BACKOFF_SECONDS_MIN
        while True:
            try:
                await self._use_one_stream()
            except* _BROKEN as broken:
                if self._is_of_use():
                    backoff = _BACKOFF_SECONDS_MIN
                    self._absent_since = self._loop.time()
                    self._last_failure = ""
                self._note_disconnected(broken)
            # Full jitter: gateways that lost the same processor do not come back in step.
            await asyncio.sleep(random.uniform(_BACKOFF_SECONDS_MIN / 2, backoff))
            backoff = min(backoff * 2, _BACKOFF_SECONDS_MAX)

    async def _use_one_stream(self) -> None:
        stream = self._execute(metadata=self._metadata)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS_MAX):
                await stream.wait_for_connection()
            self._note_connected()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write(stream))
                group.create_task(self._read(stream))
                group.create_task(self._watch_for_silence())
        finally:
            stream.cancel()

    def _is_of_use(self) -> bool:
        """Tell a stream that works from one that a processor without its lane ends at once."""
        if self._has_answered:
            return True
        return self._is_connected and self._loop.time() - self._connected_at > _STABLE_SECONDS

    def _note_connected(self) -> None:
        self._is_connected = True
        metrics.GATEWAY_LANE_CONNECTED.set(1)
        self._connected_at = self._loop.time()
        self._unheard_since = None
        # What a broken stream left unanswered goes first, for it arrived first.
        self._unsent = list(self._commands)
        resent = sum(1 for command in self._commands.values() if command.times_sent)
        metrics.GATEWAY_LANE_RESENT.inc(resent)
        self._wake.set()
        _log.info("lane_connected", commands_resent=resent)

    def _note_disconnected(self, broken: ExceptionGroup[Exception]) -> None:
        self._is_connected = self._has_answered = False
        metrics.GATEWAY_LANE_CONNECTED.set(0)
        failure = " ".join(sorted({_failure_name(error) for error in broken.exceptions}))
        if failure != self._last_failure:
            self._last_failure = failure
            _log.warning("lane_disconnected", failure=failure, in_flight=len(self._commands))

    async def _write(self, stream: Stream) -> None:
        """Send at once when it is quiet, and under load what a millisecond brings together."""
        sent_at = 0.0
        while True:
            await self._wake.wait()
            await self._gather(sent_at)
            sent_at = self._loop.time()
            batch = self._next_batch()
            if batch.commands:
                self._unheard_since = self._unheard_since or sent_at
                await stream.write(batch)

    async def _gather(self, sent_at: float) -> None:
        if self._are_enough() and self._loop.time() - sent_at >= _PACE_SECONDS:
            return
        for _ in range(_PACE_STEPS_MAX):
            await asyncio.sleep(_PACE_SECONDS)
            if self._are_enough():
                return

    def _are_enough(self) -> bool:
        return len(self._unsent) >= min(_PACE_COMMANDS, len(self._commands) // _PACE_SHARE)

    def _next_batch(self) -> lane_pb2.ExecuteRequest:
        now = self._loop.time()
        batch = lane_pb2.ExecuteRequest()
        add = batch.commands.add
        find = self._commands.get
        size = taken = count = 0
        principal: lane_pb2.Principal | None = None
        for correlation_id in self._unsent:
            command = find(correlation_id)
            if command is not None and command.deadline > now:
                size += len(command.request) + _COMMAND_OVERHEAD_BYTES
                if count and (size > BATCH_BYTES_MAX or count >= BATCH_COMMANDS_MAX):
                    break
                count += 1
                command.times_sent += 1
                sent = add(
                    correlation_id=correlation_id,
                    method=command.method,
                    request=command.request,
                    timeout_ms=int((command.deadline - now) * 1_000) or 1,
                )
                # Left out, it is that of the command before.
                if command.principal is not principal:
                    principal = command.principal
                    sent.principal.CopyFrom(principal)
                if command.is_bulk:
                    sent.bulk = True
            taken += 1
        del self._unsent[:taken]
        if not self._unsent:
            self._wake.clear()
        return batch

    async def _read(self, stream: Stream) -> None:
        while True:
            response = await stream.read()
            if not isinstance(response, lane_pb2.ExecuteResponse):
                # The end of the stream; its status says why unless it ended well.
                code = await stream.code()
                raise StreamEnded(code.name)
            self._has_answered = True
            self._unheard_since = None
            for outcome in response.outcomes:
                self._deliver(outcome)
            self._settled.set()

    async def _watch_for_silence(self) -> None:
        while True:
            await asyncio.sleep(_SILENCE_CHECK_SECONDS)
            since = self._unheard_since
            if since is not None and self._loop.time() - since > SILENCE_SECONDS_MAX:
                raise StreamSilent

    def _deliver(self, outcome: lane_pb2.Outcome) -> None:
        correlation_id = outcome.correlation_id
        command = self._commands.get(correlation_id)
        if command is None or command.times_sent == 0:
            metrics.GATEWAY_LANE_STRAYS.inc()
            return
        del self._commands[correlation_id]
        self._settled_count += 1
        if command.times_sent > 1 and _is_undecided(outcome):
            # The first sending may have been carried out before its stream broke.
            command.refused("OUTCOME_UNKNOWN")
        else:
            command.answered(outcome)

    async def _sweep_regularly(self) -> None:
        now = self._loop.time()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now, before = self._loop.time(), now
            finished, self._settled_count = self._settled_count, 0
            self._bulk_window.measure(finished, now - before, len(self._commands))
            late = [key for key, command in self._commands.items() if command.deadline <= now]
            if late:
                self._give_up(late)

    def _give_up(self, correlation_ids: Sequence[int]) -> None:
        """Stop waiting for outcomes: past their deadlines, or because this process ends."""
        for correlation_id in correlation_ids:
            command = self._commands.pop(correlation_id)
            command.refused("OUTCOME_UNKNOWN" if command.times_sent else "SHARD_UNAVAILABLE")
        self._settled.set()


def create_channel(target: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(target, options=serving.client_options(RECEIVE_BYTES_MAX))


def _is_undecided(outcome: lane_pb2.Outcome) -> bool:
    if not outcome.HasField("refusal"):
        return False
    reason = reasons.REASONS.get(outcome.refusal.reason)
    return reason is not None and reason.undecided


def _failure_name(error: Exception) -> str:
    match error:
        case grpc.aio.AioRpcError():
            return error.code().name
        case StreamEnded():
            return f"ENDED_{error}"
        case _:
            return type(error).__name__
