"""A lane decides on the buckets that its own database gives it, however wrong the map is (R20)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

from google.protobuf.message import Message

from processor.beats import NewBuckets
from processor.domain import ids, ownership
from processor.domain.context import Context
from processor.domain.ownership import FROZEN, MOVED, NAMES, OWNED, BucketRange, Buckets
from processor.entries import Reply
from processor.lane import Lane
from processor.ports import LaneStorage
from tender.v1 import account_pb2
from tests.lane.conftest import START_SECONDS_MAX, running
from tests.lane.harness import Caller, euros, unique

HOMES = {f"eu/{name}": "s1" if number < 512 else "s2" for number, name in enumerate(NAMES)}
TURNED = {home: "s2" if shard == "s1" else "s1" for home, shard in HOMES.items()}
ALL_HERE = dict.fromkeys(HOMES, "s1") | {"us/00": "s3"}


def user_of(first: int, last: int) -> str:
    """Return a new user whose bucket is one of these."""
    while True:
        user = unique("user")
        if first <= NAMES.index(ids.bucket_of_owner("eu", user)) <= last:
            return user


def create(user: str) -> account_pb2.CreateAccountRequest:
    return account_pb2.CreateAccountRequest(request_id=unique(), user_id=user, currency_code="EUR")


@contextlib.asynccontextmanager
async def mapped(
    storage: LaneStorage, homes: Mapping[str, str] | None, map_version: int = 1
) -> AsyncIterator[Lane]:
    """A lane that decides with a map until the block ends."""
    lane = Lane(storage, region="eu", shard="s1", owner="test-owner")
    lane.set_homes(homes, map_version)
    task = asyncio.create_task(lane.run())
    try:
        await asyncio.wait_for(lane.opened(), START_SECONDS_MAX)
        yield lane
    finally:
        await lane.stop(1.0)
        await asyncio.wait_for(task, 10)


async def reply_to(lane: Lane, request: Message) -> Reply:
    return await asyncio.wait_for(Caller(lane).send(request), START_SECONDS_MAX)


async def recorded(storage: LaneStorage) -> Buckets | None:
    """Return what the shard's database says, as the next owner reads it."""
    opened = await storage.open("test-owner", evict=True)
    await storage.close()
    return opened.buckets


async def test_a_new_shard_takes_what_the_map_gives_it_and_keeps_it(storage: LaneStorage) -> None:
    async with mapped(storage, HOMES) as lane:
        here = await reply_to(lane, create(user_of(0, 511)))
        there = await reply_to(lane, create(user_of(512, 1023)))

    assert (here.reason, there.reason) == ("", "BUCKET_ELSEWHERE")
    assert there.metadata["shard"] == "s2"
    assert await recorded(storage) == Buckets("eu", 1, (BucketRange(0, 511, OWNED, ""),))


async def test_a_map_that_gives_a_lane_another_s_buckets_changes_nothing(
    storage: LaneStorage,
) -> None:
    async with mapped(storage, HOMES) as lane:
        here = create(user_of(0, 511))
        await reply_to(lane, here)
        for version, wrong in enumerate((ALL_HERE, TURNED, None, {}), start=2):
            lane.set_homes(wrong, version)

            mine = await reply_to(lane, create(user_of(0, 511)))
            other = await reply_to(lane, create(user_of(512, 1023)))
            again = await reply_to(lane, here)

            assert (mine.reason, other.reason) == ("", "BUCKET_ELSEWHERE")
            assert (again.reason, again.replayed) == ("", True)


async def test_a_lane_opened_with_a_wrong_map_decides_on_its_own_buckets_alone(
    storage: LaneStorage,
) -> None:
    async with mapped(storage, HOMES) as lane:
        await reply_to(lane, create(user_of(0, 511)))

    async with mapped(storage, TURNED, 2) as lane:
        mine = await reply_to(lane, create(user_of(0, 511)))
        other = await reply_to(lane, create(user_of(512, 1023)))

    assert (mine.reason, other.reason) == ("", "BUCKET_ELSEWHERE")


async def test_a_shard_that_was_alone_keeps_everything_when_a_map_comes(
    storage: LaneStorage,
) -> None:
    async with running(storage) as lane:
        opened = await reply_to(lane, create(user_of(512, 1023)))
        assert not opened.reason

    async with mapped(storage, HOMES) as lane:
        replies = [await reply_to(lane, create(user_of(first, first + 511))) for first in (0, 512)]

    assert [reply.reason for reply in replies] == ["", ""]
    assert await recorded(storage) == ownership.everything("eu")


async def test_a_repeat_of_what_is_stored_here_gets_its_answer_though_the_bucket_has_left(
    storage: LaneStorage,
) -> None:
    async with mapped(storage, HOMES) as lane:
        request = create(user_of(0, 511))
        first = await reply_to(lane, request)
        await changed(lane, 0, 511, MOVED, "s2")

        again = await reply_to(lane, request)
        account = account_pb2.CreateAccountResponse.FromString(first.response).account
        freeze = account_pb2.FreezeAccountRequest(request_id=unique(), account_id=account.id)
        refused = await reply_to(lane, freeze)

    assert (again.response, again.replayed) == (first.response, True)
    assert (refused.reason, refused.metadata["shard"]) == ("BUCKET_ELSEWHERE", "s2")


async def test_an_old_repeat_is_looked_up_before_it_is_sent_elsewhere(
    storage: LaneStorage,
) -> None:
    async with mapped(storage, HOMES) as lane:
        request = create(user_of(0, 511))
        first = await reply_to(lane, request)
        await changed(lane, 0, 511, MOVED, "s2")

    async with mapped(storage, HOMES) as lane:
        again = await reply_to(lane, request)

    assert (again.response, again.replayed) == (first.response, True)


async def changed(lane: Lane, first: int, last: int, state: str, shard: str = "") -> None:
    def change(buckets: Buckets | None, _context: Context) -> NewBuckets:
        assert buckets is not None
        return NewBuckets(buckets.with_state(first, last, state, shard))

    assert lane._beats is not None
    await asyncio.wait_for(lane._beats.change_buckets(change), START_SECONDS_MAX)


async def test_nothing_is_decided_on_frozen_buckets_and_all_again_when_they_thaw(
    storage: LaneStorage,
) -> None:
    async with mapped(storage, HOMES) as lane:
        user = user_of(0, 511)
        waiting = [Caller(lane).send(create(user)) for _ in range(20)]
        await changed(lane, 0, 511, FROZEN)
        decided_before = [(await reply).reason for reply in waiting]
        frozen = await reply_to(lane, create(user))
        await changed(lane, 0, 511, OWNED)
        thawed = await reply_to(lane, create(user))

    assert set(decided_before) <= {"", "BUCKET_ELSEWHERE"}
    assert (frozen.reason, frozen.metadata["shard"]) == ("BUCKET_ELSEWHERE", "")
    assert thawed.reason == ""
    assert await recorded(storage) == Buckets("eu", 3, (BucketRange(0, 511, OWNED, ""),))


async def test_a_payment_to_a_frozen_bucket_waits_and_debits_nobody(storage: LaneStorage) -> None:
    async with mapped(storage, HOMES) as lane:
        ids_ = []
        for first, last in ((0, 99), (100, 511)):
            reply = await reply_to(lane, create(user_of(first, last)))
            ids_.append(account_pb2.CreateAccountResponse.FromString(reply.response).account.id)
        source, destination = ids_
        await changed(lane, 100, 511, FROZEN)

        refused = await reply_to(
            lane,
            account_pb2.CreateTransferRequest(
                request_id=unique(),
                source_account_id=source,
                destination_account_id=destination,
                amount=euros(1),
            ),
        )

    assert refused.reason == "BUCKET_ELSEWHERE"
