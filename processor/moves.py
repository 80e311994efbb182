"""How buckets change hands between two lanes: released in one batch here, taken in one there (R20).

What is released goes to the other shard as a leg, in the very batch that gives it up: so it arrives
however often either lane dies, and at no moment do both own it.
"""

from typing import Final

from processor.beats import Beats, NewBuckets
from processor.cache import Cache
from processor.domain import commands, ownership
from processor.domain.context import Context
from processor.domain.decide import receive
from processor.domain.draft import Draft
from processor.domain.ownership import MOVED, NAMES, Buckets
from processor.domain.place import Place
from processor.domain.refusals import BadBuckets
from processor.domain.view import Item
from processor.ports import LaneStorage

LOOK_BACK_US: Final = 60_000_000
"""The second look for users goes back by more than any clock here may be wrong."""


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
    if beats.buckets is not None and _has_gone(beats.buckets, first_bucket, last_bucket, to):
        return
    since = beats.clock.now() - LOOK_BACK_US

    async def require_no_users(since_us: int = 0) -> None:
        if await storage.has_users(place.region, names, since_us):
            raise BadBuckets("some of these buckets have users")

    def change(buckets: Buckets | None, context: Context) -> NewBuckets | None:
        if buckets is not None and _has_gone(buckets, first_bucket, last_bucket, to):
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

    Raises BadBuckets, Rejected or Unavailable.
    """

    def change(buckets: Buckets | None, context: Context) -> NewBuckets | None:
        if command.number != cache.received(command.source) + 1:
            return None
        assert command.leg is not None
        after = ownership.taken(buckets, command.leg, place)
        return NewBuckets(after, receive(cache, command.leg, command.text, context))

    await beats.change_buckets(change, needs=[Item("received", command.source)])
    return cache.received(command.source)


def _has_gone(buckets: Buckets, first_bucket: int, last_bucket: int, to: str) -> bool:
    places = buckets.places()[first_bucket : last_bucket + 1]
    return all(place == (MOVED, to) for place in places)
