"""LaneService: carries commands from a gateway's stream into the lane, and outcomes back."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import structlog
from google.protobuf.message import DecodeError

from kit import fingerprint, serving
from processor import translate
from processor.entries import Entry, Reply, untranslatable
from processor.lane import Lane
from tender.v1 import lane_pb2, lane_pb2_grpc

log = structlog.get_logger()

OUTCOMES_PER_MESSAGE_MAX: Final = 1_000
"""As many as commands in a message."""

MESSAGE_BYTES_MAX: Final = 768 << 10
"""Responses of a message; with any one more it stays far below what a gateway receives."""

OUTBOX_MAX: Final = 5_000
"""Outcomes that a slow gateway may leave unread before its commands are no longer read."""

TIMEOUT_MS_DEFAULT: Final = 10_000
"""For commands that come without a deadline."""

_NAMES: Final = {number: name.removeprefix("METHOD_") for name, number in lane_pb2.Method.items()}


class _Outbox:
    """Outcomes on their way to one gateway."""

    def __init__(self) -> None:
        self.outcomes: list[lane_pb2.Outcome] = []
        self.filled = asyncio.Event()
        self.drained = asyncio.Event()
        self.closed = False

    def put(self, outcome: lane_pb2.Outcome) -> None:
        self.outcomes.append(outcome)
        self.filled.set()

    def close(self) -> None:
        self.closed = True
        self.filled.set()

    def take(self) -> list[lane_pb2.Outcome]:
        size = count = 0
        for outcome in self.outcomes[:OUTCOMES_PER_MESSAGE_MAX]:
            size += len(outcome.response)
            if count and size > MESSAGE_BYTES_MAX:
                break
            count += 1
        taken = self.outcomes[:count]
        del self.outcomes[:count]
        if not self.outcomes and not self.closed:
            self.filled.clear()
        self.drained.set()
        return taken

    async def room(self) -> None:
        while len(self.outcomes) >= OUTBOX_MAX:
            self.drained.clear()
            await self.drained.wait()


class LaneServicer(lane_pb2_grpc.LaneServiceServicer):
    """Serves any number of gateways. A stream that breaks leaves its commands running."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._outboxes: set[_Outbox] = set()

    def end_streams(self) -> None:
        """Let every stream end once its outcomes are sent: gateways go on with the successor."""
        for outbox in self._outboxes:
            outbox.close()

    async def Execute(
        self,
        request_iterator: AsyncIterator[lane_pb2.ExecuteRequest],
        context: serving.Context,
    ) -> AsyncIterator[lane_pb2.ExecuteResponse]:
        """Answer every command once, in any order."""
        outbox = _Outbox()
        self._outboxes.add(outbox)
        reader = asyncio.create_task(self._read(request_iterator, outbox))
        try:
            while True:
                await outbox.filled.wait()
                outcomes = outbox.take()
                if outcomes:
                    yield lane_pb2.ExecuteResponse(outcomes=outcomes)
                elif outbox.closed:
                    return
        finally:
            self._outboxes.discard(outbox)
            reader.cancel()

    async def _read(
        self, requests: AsyncIterator[lane_pb2.ExecuteRequest], outbox: _Outbox
    ) -> None:
        try:
            async for request in requests:
                for command in request.commands:
                    self._submit(command, outbox)
                await outbox.room()
        finally:
            outbox.close()

    def _submit(self, command: lane_pb2.Command, outbox: _Outbox) -> None:
        correlation_id = command.correlation_id

        def reply(answer: Reply) -> None:
            outbox.put(_outcome(correlation_id, answer))

        try:
            request, translated = translate.translate(command)
            entry = Entry(
                translated,
                reply,
                method=command.method,
                method_name=_NAMES[command.method],
                request=request,
                fingerprint=fingerprint.fingerprint(command.method, request),
                size=len(command.request),
                deadline=time.monotonic() + (command.timeout_ms or TIMEOUT_MS_DEFAULT) / 1_000,
            )
        except (DecodeError, ValueError, KeyError) as error:
            # The gateway validates what it sends, so this is a mistake of ours.
            reply(untranslatable(_NAMES.get(command.method, "UNKNOWN"), error))
            return
        self._lane.submit(entry)


def _outcome(correlation_id: int, reply: Reply) -> lane_pb2.Outcome:
    if not reply.reason:
        return lane_pb2.Outcome(
            correlation_id=correlation_id, response=reply.response, replayed=reply.replayed
        )
    return lane_pb2.Outcome(
        correlation_id=correlation_id,
        refusal=lane_pb2.Refusal(
            reason=reply.reason,
            message=reply.message,
            metadata=reply.metadata,
            retry_delay_ms=reply.retry_delay_ms,
        ),
    )
