"""LaneService: carries commands from a gateway's stream into the lane, and outcomes back."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

import grpc
import structlog
from google.protobuf.message import DecodeError

from kit import serving
from processor import carrying, handover, hosting, translate
from processor.domain.commands import Principal
from processor.entries import MOVED, QUEUE_FULL, Entry, Reply, untranslatable
from processor.lane import Lane
from tender.v1 import lane_pb2, lane_pb2_grpc

log = structlog.get_logger()

OUTCOMES_PER_MESSAGE_MAX: Final = 1_000
"""As many as commands in a message."""

MESSAGE_BYTES_MAX: Final = 768 << 10
"""Responses of a message; with any one more it stays far below what a gateway receives."""

OUTBOX_MAX: Final = 5_000
"""Outcomes that a slow gateway may leave unread before its commands are no longer read."""

LOOK_SECONDS: Final = 0.1
"""How soon a gateway learns that it has to look for a lane elsewhere."""


class Outbox:
    """Answers on their way to one gateway."""

    def __init__(self, lane: Lane, shard: str) -> None:
        self.lane = lane
        self.shard = shard  # As the gateway named it, perhaps not at all.
        self.answers: list[tuple[int, Reply, str]] = []
        # Of the lane, as the gateway was told last; what was committed under one says so.
        self.told = ""
        self.filled = asyncio.Event()
        self.drained = asyncio.Event()
        self.closed = False
        # Of bulk commands: this round and those before it are over.
        self.bulk_round_refused = 0

    def put(self, correlation_id: int, reply: Reply) -> None:
        if reply is MOVED:
            return  # The stream ends, and its gateway sends the command to the lane's next owner.
        if not self.answers:
            self.filled.set()
        # Replies come at once after their commit.
        self.answers.append((correlation_id, reply, self.lane.incarnation))

    def put_bulk(self, bulk_round: int, correlation_id: int, reply: Reply) -> None:
        if reply is QUEUE_FULL:
            self.bulk_round_refused = bulk_round
        self.put(correlation_id, reply)

    def close(self) -> None:
        self.closed = True
        self.filled.set()

    def look(self) -> None:
        """Let the gateway hear if the lane has another incarnation than it was told."""
        if self.told != self.lane.incarnation:
            self.filled.set()

    def take(self) -> lane_pb2.ExecuteResponse | None:
        """Return what is to be sent now, if anything is: outcomes of one incarnation."""
        size = count = 0
        answers = self.answers
        incarnation = answers[0][2] if answers else self.lane.incarnation
        for _, reply, under in answers[:OUTCOMES_PER_MESSAGE_MAX]:
            size += len(reply.response)
            if count and (size > MESSAGE_BYTES_MAX or under != incarnation):
                break
            count += 1
        taken = answers[:count]
        del answers[:count]
        self.drained.set()
        is_news = incarnation != self.told
        self.told = incarnation
        if not answers and not self.closed:
            self.filled.clear()
        return _response(taken, incarnation) if taken or is_news else None

    @property
    def is_full(self) -> bool:
        return len(self.answers) >= OUTBOX_MAX

    async def room(self) -> None:
        while self.is_full:
            self.drained.clear()
            await self.drained.wait()


class LaneServicer(lane_pb2_grpc.LaneServiceServicer):
    """Serves any number of gateways. A stream that breaks leaves its commands running."""

    def __init__(self, lanes: Mapping[str, Lane], *, shared: bool = False) -> None:
        """`shared` with other processors, lanes are waited for in the gateway and not here."""
        self._lanes = lanes
        self._shared = shared
        self._outboxes: set[Outbox] = set()

    async def run(self) -> None:
        """End the streams of lanes that are gone, until cancelled.

        A stream that names no shard stays where lanes are not shared: its gateway knows this
        processor alone, and waits.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for outbox in self._outboxes:
                outbox.look()
                lane = outbox.lane
                if (outbox.shard or self._shared) and lane.is_away and not lane.is_open:
                    outbox.close()

    def end_streams(self, shard: str) -> None:
        """Let the streams of a lane end once their outcomes are sent.

        Gateways send what is unanswered to the successor.
        """
        lane = self._lanes[shard]
        for outbox in self._outboxes:
            if outbox.lane is lane:
                outbox.close()

    def open(self, shard: str) -> Outbox | None:
        """Begin to answer a gateway that names a shard, or none; None if the lane is not held.

        `leave` ends it, whatever it was.
        """
        lane = hosting.part_of(self._lanes, shard)
        if lane is None or lane.is_elsewhere or (shard and lane.is_away):
            return None
        if self._shared and not lane.is_open:
            # Another one may open it first.
            return None
        outbox = Outbox(lane, shard)
        self._outboxes.add(outbox)
        outbox.look()
        return outbox

    def leave(self, outbox: Outbox) -> None:
        """Answer a gateway no more; its commands run on."""
        self._outboxes.discard(outbox)

    async def Execute(
        self,
        request_iterator: AsyncIterator[lane_pb2.ExecuteRequest],
        context: serving.Context,
    ) -> AsyncIterator[lane_pb2.ExecuteResponse]:
        """Answer every command once, in any order; say at once which incarnation the lane has."""
        outbox = self.open(_named_shard(context))
        if outbox is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, hosting.NOT_HELD)
        reader = asyncio.create_task(self._read(request_iterator, outbox))
        try:
            while True:
                await outbox.filled.wait()
                response = outbox.take()
                if response is not None:
                    yield response
                elif outbox.closed:
                    return
        finally:
            self.leave(outbox)
            reader.cancel()

    async def Carry(
        self, request: lane_pb2.CarryRequest, context: serving.Context
    ) -> lane_pb2.CarryResponse:
        """Take legs in that another shard's lane sends."""
        return await carrying.carry(self._lanes, request, context)

    async def ReleaseBuckets(
        self, request: lane_pb2.ReleaseBucketsRequest, context: serving.Context
    ) -> lane_pb2.ReleaseBucketsResponse:
        """Give buckets to another shard."""
        return await handover.release(self._lanes, request, context)

    async def CopyBucket(
        self, request: lane_pb2.CopyBucketRequest, context: serving.Context
    ) -> lane_pb2.CopyBucketResponse:
        """Read rows of a bucket that is to move."""
        return await handover.copy(self._lanes, request, context)

    async def TakeCopies(
        self, request: lane_pb2.TakeCopiesRequest, context: serving.Context
    ) -> lane_pb2.TakeCopiesResponse:
        """Keep rows of a bucket that is to come."""
        return await handover.take(self._lanes, request, context)

    async def FreezeBucket(
        self, request: lane_pb2.FreezeBucketRequest, context: serving.Context
    ) -> lane_pb2.FreezeBucketResponse:
        """Stop deciding on a bucket for a while, or go on."""
        return await handover.freeze(self._lanes, request, context)

    async def GetBuckets(
        self, request: lane_pb2.GetBucketsRequest, context: serving.Context
    ) -> lane_pb2.GetBucketsResponse:
        """Return what a shard owns."""
        return await handover.owned(self._lanes, request, context)

    async def _read(self, requests: AsyncIterator[lane_pb2.ExecuteRequest], outbox: Outbox) -> None:
        try:
            async for request in requests:
                submit_all(request, outbox)
                await outbox.room()
        finally:
            outbox.close()


def submit_all(request: lane_pb2.ExecuteRequest, outbox: Outbox) -> None:
    """Let the lane have the commands of a message; what comes of them goes into the outbox."""
    now = time.monotonic()
    principal: Principal | None = None
    bulk_round = request.bulk_round
    entries: list[Entry] = []
    for command in request.commands:
        if command.HasField("principal"):
            principal = translate.principal(command.principal)
        if not bulk_round or not command.bulk:
            reply = functools.partial(outbox.put, command.correlation_id)
        elif bulk_round <= outbox.bulk_round_refused:
            # Let in, it would overtake one that its gateway sends again.
            outbox.put(command.correlation_id, QUEUE_FULL)
            continue
        else:
            reply = functools.partial(outbox.put_bulk, bulk_round, command.correlation_id)
        try:
            if principal is None:
                raise ValueError("a command without a principal")
            entries.append(translate.entry(command, principal, reply, now))
        except (DecodeError, ValueError, KeyError) as error:
            # The gateway validates what it sends, so this is a mistake of ours.
            name = translate.METHOD_NAMES.get(command.method, "UNKNOWN")
            reply(untranslatable(name, error))
    outbox.lane.submit_all(entries)


def _named_shard(context: serving.Context) -> str:
    """Return the shard that a stream is for; empty when it does not say."""
    for key, value in context.invocation_metadata() or ():
        if key == hosting.SHARD_METADATA:
            return value if isinstance(value, str) else value.decode("latin-1")
    return ""


def _response(answers: list[tuple[int, Reply, str]], incarnation: str) -> lane_pb2.ExecuteResponse:
    response = lane_pb2.ExecuteResponse(incarnation=incarnation)
    add = response.outcomes.add
    for correlation_id, reply, _ in answers:
        if not reply.reason:
            add(correlation_id=correlation_id, response=reply.response, replayed=reply.replayed)
        else:
            add(
                correlation_id=correlation_id,
                refusal=lane_pb2.Refusal(
                    reason=reply.reason,
                    message=reply.message,
                    metadata=reply.metadata,
                    retry_delay_ms=reply.retry_delay_ms,
                ),
            )
    return response
