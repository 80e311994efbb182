"""A bucket with users on its way from one lane to another, step by step as its mover asks."""

import asyncio
from dataclasses import dataclass
from typing import Any

from processor import copying
from processor.domain import ids
from processor.domain.ownership import MOVED, NAMES, OWNED
from processor.domain.view import Position
from tests.lane.city import City
from tests.lane.harness import Caller, unique

FREEZE_SECONDS = 4.0
WAIT_SECONDS_MAX = 20.0
PAGES_MAX = 100


def bucket_of(identifier: str) -> int:
    """Return the number of an id's bucket."""
    return NAMES.index(ids.bucket_of_id(identifier))


def user_in(first: int, last: int) -> str:
    """Return a new user whose bucket is one of these."""
    while True:
        user = unique("user")
        if first <= NAMES.index(ids.bucket_of_owner("eu", user)) <= last:
            return user


@dataclass
class Mover:
    """Moves one bucket from a lane to another; each step as often as is asked for."""

    city: City
    bucket: int
    source: str = "s1"
    to: str = "s2"

    async def position(self) -> Position | None:
        """Return how far the copy is."""
        return await self.city.lanes[self.to].take_copies(self.bucket, None)

    async def copy_once(self) -> bool:
        """Bring one page; say whether there may be more."""
        after = await self.position()
        lane = self.city.lanes[self.source]
        page = await lane.copy_bucket(self.bucket, after)
        # As it goes over the wire.
        page = copying.decode_page(copying.encode_page(page))
        await self.city.lanes[self.to].take_copies(self.bucket, page)
        return page.to != after and (bool(page.to.place) or page.to.seq < lane.committed_seq)

    async def copy(self) -> None:
        """Bring all that is there."""
        for _ in range(PAGES_MAX):
            if not await self.copy_once():
                return
        raise AssertionError("the copy never ends")

    async def freeze(self, seconds: float = FREEZE_SECONDS) -> int:
        """Stop decisions on the bucket."""
        return await self.city.lanes[self.source].freeze_bucket(self.bucket, seconds)

    async def release(self) -> None:
        """Give it away."""
        position = await self.position()
        assert position is not None
        await self.city.lanes[self.source].release_bucket(self.bucket, self.to, position)

    async def taken(self) -> None:
        """Wait until the other lane has it."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while self.state(self.to) != OWNED:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert self.state(self.source) == MOVED

    def state(self, shard: str) -> str:
        """Return the bucket's state on a shard."""
        buckets = self.city.lanes[shard].buckets
        return buckets.state_of(self.bucket) if buckets is not None else "?"

    async def move(self) -> None:
        """Do all of it."""
        await self.copy()
        await self.freeze()
        await self.copy()
        await self.release()
        await self.taken()

    def back(self) -> "Mover":
        """Return who moves it back."""
        return Mover(self.city, self.bucket, self.to, self.source)

    @property
    def caller(self) -> Caller:
        """Calls the lane that gets it."""
        return self.city[self.to]


async def repeated(caller: Caller, request: Any) -> Any:
    """Return the reply to a request that was made before."""
    return await asyncio.wait_for(caller.send(request), WAIT_SECONDS_MAX)
