"""Legs are carried to whoever holds the destination's lane, by the highest epoch."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from kit import internal_auth, serving
from processor import carrying, peers
from processor.directory import Directory, DirectoryServicer
from processor.peers import RemotePeers
from processor.ports import LEGS_PER_CALL_MAX, LaneBusy, LaneClosed, LegTaker, Unavailable
from tender.v1 import directory_pb2_grpc, lane_pb2, lane_pb2_grpc
from tests.gateway.conftest import free_address
from tests.hosting.conftest import TOKEN, WAIT_SECONDS_MAX

NOTHING_LISTENS = "127.0.0.1:1"


class Taker:
    """A lane that keeps what is carried to it."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int, list[bytes]]] = []
        self.error: Exception | None = None
        self.seconds = 0.0
        self.is_open = True

    async def carry(self, source: str, first_number: int, legs: Sequence[bytes]) -> int:
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        self.taken.append((source, first_number, list(legs)))
        return first_number + len(legs) - 1


class Lanes(lane_pb2_grpc.LaneServiceServicer):
    """LaneService.Carry for lanes of the test's own."""

    def __init__(self, lanes: dict[str, LegTaker]) -> None:
        self._lanes = lanes

    async def Carry(self, request: lane_pb2.CarryRequest, context: serving.Context) -> Any:
        return await carrying.carry(self._lanes, request, context)


class Peer:
    """A processor with a directory of its own, and a taker for lane s2."""

    def __init__(self) -> None:
        self.address = free_address()
        self.directory = Directory(self.address)
        self.taker = Taker()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Peer"]:
        server = serving.create_server([internal_auth.InternalGuard(TOKEN)], rpcs_max=100)
        lane_pb2_grpc.add_LaneServiceServicer_to_server(Lanes({"s2": self.taker}), server)
        directory_pb2_grpc.add_DirectoryServiceServicer_to_server(
            DirectoryServicer(self.directory), server
        )
        serving.bind(server, self.address)
        await server.start()
        try:
            yield self
        finally:
            self.directory.close()
            await server.stop(0.5)


@asynccontextmanager
async def knowing(*targets: str) -> AsyncIterator[RemotePeers]:
    found = RemotePeers(targets, TOKEN)
    running = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        running.cancel()
        await asyncio.wait([running])
        await found.close()


@pytest.fixture
async def two() -> AsyncIterator[tuple[Peer, Peer]]:
    async with AsyncExitStack() as stack:
        one, other = Peer(), Peer()
        for peer in (one, other):
            await stack.enter_async_context(peer.listening())
        yield one, other


async def carried(known: RemotePeers, first_number: int = 1) -> int:
    """Carry two legs, once somebody is known to hold the lane."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            try:
                return await known.carry("s1", "s2", first_number, [b"a", b"b"])
            except Unavailable as error:
                if "nobody holds" not in str(error):
                    raise
                await asyncio.sleep(0.02)


async def test_legs_go_to_who_holds_the_lane(two: tuple[Peer, Peer]) -> None:
    one, other = two
    one.directory.note_ownership("s1", 9)
    other.directory.note_ownership("s2", 1)

    async with knowing(NOTHING_LISTENS, one.address, other.address) as known:
        position = await carried(known, 5)

    assert position == 6
    assert (one.taker.taken, other.taker.taken) == ([], [("s1", 5, [b"a", b"b"])])


async def test_of_two_that_claim_a_lane_the_higher_epoch_counts(two: tuple[Peer, Peer]) -> None:
    one, other = two
    one.directory.note_ownership("s2", 7)
    async with knowing(one.address, other.address) as known:
        await carried(known)
        other.directory.note_ownership("s2", 8)
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not other.taker.taken:
                await carried(known)
                await asyncio.sleep(0.01)
        before = len(one.taker.taken)
        await carried(known)

    assert len(one.taker.taken) == before


async def test_a_lane_that_nobody_holds_is_unavailable(two: tuple[Peer, Peer]) -> None:
    one, other = two
    one.directory.note_ownership("s2", 1)
    async with knowing(one.address, other.address) as known:
        await carried(known)
        one.directory.note_ownership("s2", 0)
        await asyncio.sleep(0.2)

        with pytest.raises(Unavailable, match="nobody holds s2"):
            await known.carry("s1", "s2", 1, [])


async def test_a_processor_that_is_gone_holds_nothing() -> None:
    peer = Peer()
    peer.directory.note_ownership("s2", 1)
    async with knowing(peer.address) as known:
        async with peer.listening():
            await carried(known)
        await asyncio.sleep(0.2)

        with pytest.raises(Unavailable, match="nobody holds s2"):
            await known.carry("s1", "s2", 1, [])

        async with Peer.listening(peer) as again:
            again.directory.closed = False
            assert await carried(known) == 2


@pytest.mark.parametrize(
    ("error", "code"), [(LaneClosed, "UNAVAILABLE"), (LaneBusy, "RESOURCE_EXHAUSTED")]
)
async def test_a_lane_that_does_not_take_legs_is_unavailable(
    two: tuple[Peer, Peer], error: type[Exception], code: str
) -> None:
    one, _ = two
    one.directory.note_ownership("s2", 1)
    one.taker.error = error()

    async with knowing(one.address) as known:
        with pytest.raises(Unavailable, match=f"s2 at {one.address}: {code}"):
            await carried(known)


async def test_a_lane_that_does_not_answer_is_given_up(
    two: tuple[Peer, Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = two
    one.directory.note_ownership("s2", 1)
    one.taker.seconds = WAIT_SECONDS_MAX
    monkeypatch.setattr(peers, "CARRY_SECONDS_MAX", 0.2)

    async with knowing(one.address) as known:
        with pytest.raises(Unavailable, match="DEADLINE_EXCEEDED"):
            await carried(known)


async def test_legs_for_another_lane_and_too_many_of_them_are_refused(
    two: tuple[Peer, Peer],
) -> None:
    one, _ = two
    async with grpc.aio.insecure_channel(one.address) as channel:
        stub: Any = lane_pb2_grpc.LaneServiceStub(channel)
        codes = []
        for request in (
            lane_pb2.CarryRequest(source="s1", destination="s3", first_number=1),
            lane_pb2.CarryRequest(source="s1", destination="", first_number=1),
            lane_pb2.CarryRequest(
                source="s1", destination="s2", legs=[b""] * (LEGS_PER_CALL_MAX + 1)
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Carry(request, metadata=internal_auth.metadata(TOKEN), timeout=5)
            codes.append(refused.value.code().name)

    assert codes == ["UNAVAILABLE", "UNAVAILABLE", "INVALID_ARGUMENT"]
    assert one.taker.taken == []
