"""Three shards with a lane each in one process, joined by peers that fail when told to."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from processor.domain import ids
from processor.lane import Lane, Limits
from processor.ports import LaneClosed, LaneStorage, Unavailable
from tender.v1 import account_pb2, payment_pb2
from tests.lane.harness import Caller, euros, unique

REGIONS = {"s1": "eu", "s2": "us", "s3": "jp"}
HOMES = {
    f"{region}/{first}{second}": shard
    for shard, region in REGIONS.items()
    for first in ids.ALPHABET
    for second in ids.ALPHABET
}
OPEN_SECONDS_MAX = 10.0
REST_SECONDS_MAX = 20.0
KILL_SECONDS = 0.5


class LocalPeers:
    """Peers whose lanes are of this process. The mapping may change at any time."""

    def __init__(self, lanes: dict[str, Lane]) -> None:
        self._lanes = lanes

    async def carry(
        self, source: str, destination: str, first_number: int, legs: Sequence[bytes]
    ) -> int:
        lane = self._lanes.get(destination)
        if lane is None:
            raise LaneClosed(f"shard {destination} has no lane here")
        return await lane.carry(source, first_number, legs)


class FaultyPeers:
    """Carries to lanes of this process, except when told to lose, repeat, delay or mix calls."""

    def __init__(self, lanes: dict[str, Lane], seed: int = 0) -> None:
        self._peers = LocalPeers(lanes)
        self._chance = random.Random(seed)
        self.away: set[str] = set()
        self.fault_share = 0.0
        self.calls: list[tuple[str, str, int, int]] = []
        self.held_at = ""
        """Where the next call with legs stops: "before" or "after" it is carried out."""
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def carry(
        self, source: str, destination: str, first_number: int, legs: Sequence[bytes]
    ) -> int:
        self.calls.append((source, destination, first_number, len(legs)))
        if destination in self.away:
            raise Unavailable("told to be away")
        if legs and self.held_at:
            return await self._held(source, destination, first_number, legs)
        if self._chance.random() < self.fault_share:
            return await self._fail(source, destination, first_number, legs)
        return await self._peers.carry(source, destination, first_number, legs)

    async def _held(
        self, source: str, destination: str, first_number: int, legs: Sequence[bytes]
    ) -> int:
        where, self.held_at = self.held_at, ""
        position = 0
        if where == "after":
            position = await self._peers.carry(source, destination, first_number, legs)
        self.reached.set()
        await self.go_on.wait()
        if where == "before":
            position = await self._peers.carry(source, destination, first_number, legs)
        return position

    async def _fail(
        self, source: str, destination: str, first_number: int, legs: Sequence[bytes]
    ) -> int:
        carry = self._peers.carry
        match self._chance.choice(["lost", "answer lost", "twice", "late", "part", "backwards"]):
            case "lost":
                raise Unavailable("told to lose the call")
            case "answer lost":
                await carry(source, destination, first_number, legs)
                raise Unavailable("told to lose the answer")
            case "twice":
                both = (carry(source, destination, first_number, legs) for _ in range(2))
                first, _ = await asyncio.gather(*both)
                return first
            case "late":
                await asyncio.sleep(self._chance.random() * 0.05)
                return await carry(source, destination, first_number, legs)
            case "part" if legs:
                return await carry(source, destination, first_number, legs[: len(legs) // 2])
            case _ if first_number:
                for place in range(len(legs) - 1, 0, -1):
                    await carry(source, destination, first_number + place, legs[place:])
        return await carry(source, destination, first_number, legs)


class City:
    """The lanes of three shards; a lane may be killed at any moment and started again."""

    def __init__(self, store: Callable[[str], LaneStorage], seed: int = 0) -> None:
        self.store = store
        self.lanes: dict[str, Lane] = {}
        self.stores: dict[str, LaneStorage] = {}
        self.peers = FaultyPeers(self.lanes, seed)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.limits = Limits()

    def __getitem__(self, shard: str) -> Caller:
        return Caller(self.lanes[shard])

    async def start(self, shard: str) -> None:
        """Start a shard's lane, and wait until it is open."""
        store = self.stores[shard] = self.store(shard)
        lane = Lane(
            store,
            region=REGIONS[shard],
            shard=shard,
            owner=f"owner of {shard}",
            homes=HOMES,
            peers=self.peers,
            limits=self.limits,
        )
        self.lanes[shard] = lane
        self._tasks[shard] = asyncio.create_task(lane.run())
        await asyncio.wait_for(lane.opened(), OPEN_SECONDS_MAX)

    async def kill(self, shard: str) -> None:
        """Let a lane vanish, whatever it is doing; callers that wait hear nothing."""
        self.lanes.pop(shard)
        task = self._tasks.pop(shard)
        while not task.done():  # A lane that is just being lost first takes itself over.
            task.cancel()
            await asyncio.wait([task], timeout=KILL_SECONDS)
        await self.stores.pop(shard).close()

    async def stop(self, shard: str) -> None:
        """Stop a lane in good order."""
        await self.lanes[shard].stop(1.0)
        await asyncio.wait_for(self._tasks.pop(shard), OPEN_SECONDS_MAX)
        del self.lanes[shard]

    async def close(self) -> None:
        for shard in list(self.lanes):
            await self.stop(shard)

    async def routes(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return what each shard has sent to and heard of each other one."""
        return {
            (shard, route.destination): (route.sent, route.acknowledged)
            for shard, store in self.stores.items()
            if shard in self.lanes
            for route in await store.routes()
        }

    async def rest(self) -> None:
        """Wait until everything that was sent is acknowledged."""
        async with asyncio.timeout(REST_SECONDS_MAX):
            is_resting = False
            while not is_resting:
                await asyncio.sleep(0.02)
                with contextlib.suppress(Unavailable):  # A lane is being taken over.
                    routes = await self.routes()
                    is_resting = all(sent == heard for sent, heard in routes.values())

    async def posted(self, account_id: str) -> int:
        """Return an account's balance; it opens again at once if it was open."""
        caller = self[next(s for s, region in REGIONS.items() if f"_{region}_" in account_id)]
        frozen = await caller.ask(
            account_pb2.FreezeAccountRequest(request_id=unique(), account_id=account_id)
        )
        await caller.ask(
            account_pb2.UnfreezeAccountRequest(request_id=unique(), account_id=account_id)
        )
        amount: int = frozen.account.posted.minor_units
        return amount


@contextlib.asynccontextmanager
async def city_of(store: Callable[[str], LaneStorage], seed: int = 0) -> AsyncIterator[City]:
    """Three lanes that run until the block ends."""
    city = City(store, seed)
    try:
        for shard in REGIONS:
            await city.start(shard)
        yield city
    finally:
        await city.close()


def refund(payment: Any, amount: int | None = None) -> payment_pb2.RefundPaymentRequest:
    """Return a request to give money back."""
    return payment_pb2.RefundPaymentRequest(
        request_id=unique(),
        payment_id=payment.id,
        amount=None if amount is None else euros(amount),
    )
