"""Bulk commands come in rounds: what follows a refused one of its round is refused too."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from processor.cache import Cache
from processor.domain import commands
from processor.domain.needs import Place
from processor.entries import QUEUE_FULL, Entry, Reply
from processor.lane import Limits
from processor.servicer import LaneServicer
from processor.waiting import WaitingRoom
from storage.memory import Database, MemoryLaneStore
from tender.v1 import lane_pb2, payment_pb2
from tests.lane import harness
from tests.lane.conftest import running

FULL = "LANE_QUEUE_FULL"
UNKNOWN = "ACCOUNT_UNKNOWN"
WAIT_SECONDS_MAX = 10.0


class Unnamed:
    """The context of a stream that names no shard."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()


class Gateway:
    """Sends commands over a stream and collects the reasons that come back."""

    def __init__(self, servicer: LaneServicer) -> None:
        self._messages: asyncio.Queue[lane_pb2.ExecuteRequest] = asyncio.Queue()
        self._outcomes: Any = servicer.Execute(self._sent(), Unnamed())  # type: ignore[arg-type]

    async def _sent(self) -> AsyncIterator[lane_pb2.ExecuteRequest]:
        while True:
            yield await self._messages.get()

    async def ask(self, bulk_round: int, count: int, *, bulk: bool = True) -> list[str]:
        """Send so many authorizations; return why each was refused, sorted."""
        message = lane_pb2.ExecuteRequest(bulk_round=bulk_round)
        for number in range(count):
            request = payment_pb2.AuthorizePaymentRequest(
                request_id=harness.unique(),
                payer_account_id="acc_eu_01hf7yat000000000h1330",
                merchant_id="mer_eu_01hf7yat000000000h1330",
                amount=harness.euros(100),
            )
            message.commands.add(
                correlation_id=number + 1,
                method=lane_pb2.METHOD_AUTHORIZE_PAYMENT,
                request=request.SerializeToString(),
                principal=harness.SERVICE,
                bulk=bulk,
            )
        self._messages.put_nowait(message)
        reasons: list[str] = []
        while len(reasons) < count:
            response = await asyncio.wait_for(anext(self._outcomes), WAIT_SECONDS_MAX)
            reasons += [outcome.refusal.reason for outcome in response.outcomes]
        return sorted(reasons)


async def test_a_round_in_which_a_bulk_command_was_refused_is_over() -> None:
    storage = MemoryLaneStore(Database(), "s1")
    async with running(storage, limits=Limits(queue_commands_max=10)) as lane:
        gateway = Gateway(LaneServicer({"s1": lane}))

        first = await gateway.ask(1, 20)
        assert (first[0], first[-1]) == (UNKNOWN, FULL)

        assert await gateway.ask(1, 2) == [FULL, FULL]
        assert await gateway.ask(1, 1, bulk=False) == [UNKNOWN]
        assert await gateway.ask(2, 2) == [UNKNOWN, UNKNOWN]


async def test_commands_outside_of_rounds_are_let_in_whenever_there_is_room() -> None:
    storage = MemoryLaneStore(Database(), "s1")
    async with running(storage, limits=Limits(queue_commands_max=10)) as lane:
        gateway = Gateway(LaneServicer({"s1": lane}))

        assert FULL in await gateway.ask(0, 20)
        assert await gateway.ask(0, 2) == [UNKNOWN, UNKNOWN]


async def test_behind_a_bulk_command_that_is_refused_none_of_its_message_is_taken() -> None:
    replies: list[Reply] = []

    def entry(number: int, size: int, *, bulk: bool) -> Entry:
        command = commands.Void(commands.Principal("t", "", False), f"r{number}", f"pay_{number}")
        return Entry(command, replies.append, size=size, bulk=bulk)

    room = WaitingRoom(
        Cache(100), Place("eu", "s1", None), lambda: 0, commands_max=100, bytes_max=1_000
    )
    large, refused = entry(1, 600, bulk=True), entry(2, 600, bulk=True)
    overtaking, single = entry(3, 10, bulk=True), entry(4, 10, bulk=False)

    room.admit_all([large, refused, overtaking, single])

    assert list(room) == [large, single]
    assert replies == [QUEUE_FULL, QUEUE_FULL]
