"""How buckets change hands between two lanes: released in one batch here, taken in one there (R20).

What is released goes to the other shard as legs, in the very batch that gives it up: so it arrives
however often either lane dies, and at no moment do both own it. Of a bucket with users the rows
are copied ahead; the money of its accounts goes with the legs.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kit import metrics
from processor.beats import Beats, NewBuckets
from processor.cache import Cache
from processor.domain import commands, copies, ids, ownership
from processor.domain.accounts import Account
from processor.domain.context import Context
from processor.domain.decide import receive
from processor.domain.draft import Draft
from processor.domain.ownership import MOVED, NAMES, OWNED, Buckets
from processor.domain.place import Place
from processor.domain.refusals import BadBuckets, Inhabited, Refused
from processor.domain.rules.moves import depart
from processor.domain.view import Item, Position
from processor.ports import LaneStorage

LOOK_BACK_US: Final = 60_000_000
"""The second look for users goes back by more than any clock here may be wrong."""
FREEZE_SECONDS_MAX: Final = 5.0
"""Callers of a frozen bucket wait in the gateway, for less than their deadlines."""
ACCOUNTS_MAX: Final = 10_000
"""Accounts that leave in one batch; a shard with more in a bucket is far past its size."""
CLOCKS_APART_US_MAX: Final = 2_000_000
"""A bucket is taken once the clock here is past its release: times of its rows never go back."""


@dataclass
class _Freeze:
    """A bucket that nothing is decided on, since a commit and until a moment, and its accounts."""

    seq: int
    until: float
    began: float
    accounts: Sequence[str]


class Departures:
    """Buckets that leave a lane, for as long as one takeover lasts.

    A freeze is nothing but the lane's own word, which ends with it: so who was to release the
    bucket may die at any moment.
    """

    def __init__(self, beats: Beats, storage: LaneStorage, cache: Cache, shard: str) -> None:
        self._beats = beats
        self._storage = storage
        self._cache = cache
        self._meter = metrics.lane_meter(shard)
        self._freezes: dict[int, _Freeze] = {}

    async def freeze(self, place: Place, bucket: int, seconds: float) -> int:
        """Decide nothing on a bucket for a while; return the commit since which nothing was.

        Raises BadBuckets or Unavailable.
        """
        self._require_owned(bucket)
        name, region = NAMES[bucket], place.region
        if name == ids.bucket_of_owner(region, ""):
            raise BadBuckets("this bucket is that of the tenants' own accounts")
        until = time.monotonic() + min(seconds, FREEZE_SECONDS_MAX)
        if (known := self._freezes.get(bucket)) is not None:
            known.until = until
            return known.seq
        since = self._beats.clock.now() - LOOK_BACK_US
        found = dict.fromkeys(await self._storage.accounts_in(region, name, 0))

        async def look_again() -> None:
            found.update(dict.fromkeys(await self._storage.accounts_in(region, name, since)))

        def change(_buckets: Buckets | None, _context: Context) -> NewBuckets | None:
            self._require_owned(bucket)
            now, beats = time.monotonic(), self._beats
            frozen_until = now + min(seconds, FREEZE_SECONDS_MAX)
            self._freezes[bucket] = _Freeze(beats.seq, frozen_until, now, list(found))
            beats.freeze(beats.frozen | {bucket})
            return None

        if len(found) > ACCOUNTS_MAX:
            raise BadBuckets(f"the bucket has more than {ACCOUNTS_MAX} accounts")
        await self._beats.change_buckets(change, first=look_again)
        return self._freezes[bucket].seq

    async def thaw(self, bucket: int) -> None:
        """Decide on a bucket again; nothing if it is not frozen."""

        def change(_buckets: Buckets | None, _context: Context) -> NewBuckets | None:
            self._end(bucket)
            return None

        if bucket in self._freezes:
            await self._beats.change_buckets(change)

    async def tick(self) -> None:
        """End freezes whose time is over: nobody released the buckets."""
        now = time.monotonic()
        for bucket, freeze in list(self._freezes.items()):
            if freeze.until <= now:
                self._meter.freezes_ended.inc()
                await self.thaw(bucket)

    async def release(self, place: Place, bucket: int, to: str, position: Position) -> None:
        """Give a frozen bucket with its users to another shard, which has copied all its rows.

        Nothing if that was done before. Raises BadBuckets, Rejected or Unavailable.
        """
        beats, home = self._beats, f"{place.region}/{NAMES[bucket]}"
        if beats.buckets is not None and has_gone(beats.buckets, bucket, bucket, to):
            return
        page = await self._storage.copy_page(place.region, NAMES[bucket], position)
        if page.after != position or position.place:
            raise BadBuckets("the copy is not of this shard's history, or not begun")
        leaving: list[Account] = []

        async def load() -> None:
            freeze = self._freezes.get(bucket)
            if freeze is not None:
                leaving[:] = await self._leaving(freeze.accounts, place, to)

        def change(buckets: Buckets | None, context: Context) -> NewBuckets | None:
            if buckets is not None and has_gone(buckets, bucket, bucket, to):
                return None
            freeze = self._freezes.get(bucket)
            if freeze is None:
                raise BadBuckets("the bucket is not frozen, or not any more")
            if position.seq < freeze.seq:
                raise BadBuckets(f"the copy of {home} is behind")
            after = ownership.released(buckets, bucket, bucket, place, to)
            sheet = Draft(self._cache, context)
            copied = copies.written(position)
            try:
                depart(sheet, leaving, to, copied)
            except Refused as refused:
                raise BadBuckets(f"an account cannot leave: {refused.reason}") from refused
            sheet.send_buckets(to, bucket, bucket, copied)
            return NewBuckets(after, sheet.changes())

        await beats.change_buckets(change, needs=[Item("sent", to)], first=load)
        self._end(bucket)

    async def _leaving(self, names: Sequence[str], place: Place, to: str) -> list[Account]:
        """Return the accounts of a bucket; what they and their money need is in memory then."""
        load, absorb, cache = self._storage.load, self._cache.absorb, self._cache
        absorb(await load([Item("account", name) for name in names]))
        found = [account for name in names if (account := cache.account(name)) is not None]
        clearing = {place.clearing(one.tenant_id, to, one.currency) for one in found if one.posted}
        absorb(await load([Item("account", name) for name in sorted(clearing)]))
        return found

    def _require_owned(self, bucket: int) -> None:
        buckets = self._beats.buckets
        if buckets is None or buckets.state_of(bucket) != OWNED:
            raise BadBuckets("the shard does not own this bucket, or is alone")

    def _end(self, bucket: int) -> None:
        freeze = self._freezes.pop(bucket, None)
        if freeze is not None:
            self._meter.freeze.observe(time.monotonic() - freeze.began)
            self._beats.freeze(self._beats.frozen - {bucket})


async def release(
    beats: Beats,
    storage: LaneStorage,
    cache: Cache,
    place: Place,
    first_bucket: int,
    last_bucket: int,
    to: str,
) -> None:
    """Give a range of buckets without users to another shard; nothing if that was done before.

    Decisions stop for a second look and one batch. Raises BadBuckets, Rejected or Unavailable.
    """
    names = NAMES[first_bucket : last_bucket + 1]
    if beats.buckets is not None and has_gone(beats.buckets, first_bucket, last_bucket, to):
        return
    since = beats.clock.now() - LOOK_BACK_US

    async def require_no_users(since_us: int = 0) -> None:
        if await storage.has_users(place.region, names, since_us):
            raise Inhabited("some of these buckets have users")

    def change(buckets: Buckets | None, context: Context) -> NewBuckets | None:
        if buckets is not None and has_gone(buckets, first_bucket, last_bucket, to):
            return None
        after = ownership.released(buckets, first_bucket, last_bucket, place, to)
        sheet = Draft(cache, context)
        sheet.send_buckets(to, first_bucket, last_bucket)
        return NewBuckets(after, sheet.changes())

    await require_no_users()
    await beats.change_buckets(
        change, needs=[Item("sent", to)], first=lambda: require_no_users(since)
    )


async def take(beats: Beats, cache: Cache, place: Place, command: commands.ReceiveLeg) -> int:
    """Take buckets that another shard released, if the leg is its next; return the position.

    A bucket with users whose rows are not all here yet is left where it is: the leg comes again.
    Raises BadBuckets, Rejected or Unavailable.
    """
    leg = command.leg
    assert leg is not None
    assert leg.buckets is not None
    first, last = leg.buckets
    homes = {f"{place.region}/{name}" for name in NAMES[first : last + 1]}

    def change(buckets: Buckets | None, context: Context) -> NewBuckets | None:
        if command.number != cache.received(command.source) + 1:
            return None
        if leg.copied and not all(
            copies.reaches(cache.copied(home), leg.source, leg.copied) for home in homes
        ):
            return None
        after = ownership.taken(buckets, leg, place)
        cache.forget_accounts_in(homes)
        return NewBuckets(after, receive(cache, leg, command.text, context))

    ahead = ids.later_than(leg.created_at) - beats.clock.now()
    if ahead > CLOCKS_APART_US_MAX:
        raise BadBuckets(f"the clocks of two shards are {ahead / 1_000_000} s apart")
    await asyncio.sleep(max(ahead, 0) / 1_000_000)
    needs = [Item("received", command.source), *(Item("copy", home) for home in sorted(homes))]
    await beats.change_buckets(change, needs=needs)
    return cache.received(command.source)


def has_gone(buckets: Buckets, first_bucket: int, last_bucket: int, to: str) -> bool:
    """Say whether a shard has given a range of buckets to another one."""
    places = buckets.places()[first_bucket : last_bucket + 1]
    return all(place == (MOVED, to) for place in places)
