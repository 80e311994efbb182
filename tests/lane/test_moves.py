"""Buckets change hands between two lanes, whatever dies meanwhile: never two owners, never none."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from processor.domain import ids
from processor.domain.ownership import MOVED, NAMES, OWNED
from processor.domain.refusals import BadBuckets
from processor.ports import Unavailable
from storage.verify import verify
from tests.conftest import Shard
from tests.lane import city as cities
from tests.lane.city import City, city_of
from tests.lane.conftest import Databases, store_of
from tests.lane.moving import user_in
from tests.lane.test_ownership import create, reply_to

WAIT_SECONDS_MAX = 20.0
MOVES = 6
NAMES_OF_SHARDS = ("s1", "s2", "s3")
LARGEST_SHARE = 341
RESERVED = NAMES.index(ids.bucket_of_owner("eu", ""))


@pytest.fixture
async def town(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[City]:
    """Three shards of one region, a third of the buckets each."""
    homes = {
        f"eu/{name}": f"s{min(number // LARGEST_SHARE, 2) + 1}" for number, name in enumerate(NAMES)
    }
    monkeypatch.setattr(cities, "HOMES", homes)
    monkeypatch.setattr(cities, "REGIONS", dict.fromkeys(NAMES_OF_SHARDS, "eu"))
    async with city_of(store_of(databases)) as city:
        yield city
    for database in databases.values():
        if isinstance(database, Shard):
            assert (await verify(database.owner_url)).breaches == []


def state(city: City, shard: str, bucket: int) -> str:
    buckets = city.lanes[shard].buckets
    return buckets.state_of(bucket) if buckets is not None else "?"


async def owned(city: City, shard: str, bucket: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while state(city, shard, bucket) != OWNED:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_released_buckets_are_taken_and_decided_on_there(town: City) -> None:
    user = user_in(0, 9)

    await town.lanes["s1"].release_buckets(0, 9, "s2")
    await owned(town, "s2", 0)
    here = await reply_to(town.lanes["s1"], create(user))
    there = await reply_to(town.lanes["s2"], create(user))

    assert (here.reason, here.metadata["shard"]) == ("BUCKET_ELSEWHERE", "s2")
    assert there.reason == ""
    assert [state(town, "s1", 0), state(town, "s1", 10)] == [MOVED, OWNED]


async def test_releasing_again_changes_nothing(town: City) -> None:
    await town.lanes["s1"].release_buckets(0, 9, "s2")
    await owned(town, "s2", 9)
    before = town.lanes["s1"].buckets

    await town.lanes["s1"].release_buckets(0, 9, "s2")

    assert town.lanes["s1"].buckets == before


async def test_buckets_carried_twice_are_taken_once(town: City) -> None:
    await town.lanes["s1"].release_buckets(0, 9, "s2")
    await owned(town, "s2", 9)
    before = town.lanes["s2"].buckets
    [(number, text)] = await town.stores["s1"].legs("s2", 0, 10)

    position = await town.lanes["s2"].carry("s1", number, [text.encode()])

    assert position == number
    assert town.lanes["s2"].buckets == before


async def test_buckets_go_back_where_they_were(town: City) -> None:
    await town.lanes["s1"].release_buckets(0, 9, "s2")
    await owned(town, "s2", 9)

    await town.lanes["s2"].release_buckets(0, 9, "s1")
    await owned(town, "s1", 9)

    assert state(town, "s2", 9) == MOVED
    assert (await reply_to(town.lanes["s1"], create(user_in(0, 9)))).reason == ""


@pytest.mark.parametrize(
    ("first", "last", "to", "why"),
    [
        (0, 9, "s1", "no other shard"),
        (0, 9, "s9", "no other shard"),
        (400, 401, "s2", "does not own all"),
        (340, 341, "s2", "does not own all"),
    ],
)
async def test_what_cannot_be_released_is_refused_in_words(
    town: City, first: int, last: int, to: str, why: str
) -> None:
    with pytest.raises(BadBuckets, match=why):
        await town.lanes["s1"].release_buckets(first, last, to)


async def test_the_bucket_of_the_tenants_own_transfers_stays(town: City) -> None:
    owner = f"s{min(RESERVED // LARGEST_SHARE, 2) + 1}"
    to = "s1" if owner != "s1" else "s2"

    with pytest.raises(BadBuckets, match="own accounts"):
        await town.lanes[owner].release_buckets(RESERVED, RESERVED, to)


async def test_a_bucket_with_users_is_not_released(town: City) -> None:
    await reply_to(town.lanes["s1"], create(user_in(5, 5)))

    with pytest.raises(BadBuckets, match="have users"):
        await town.lanes["s1"].release_buckets(0, 9, "s2")
    assert state(town, "s1", 0) == OWNED


async def test_a_user_who_comes_at_the_last_moment_keeps_the_bucket_here(
    town: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look finds nobody; what is decided after it must be seen by the second."""
    store, lane, user = town.stores["s1"], town.lanes["s1"], user_in(0, 9)
    look = store.has_users

    async def look_and_let_a_user_in(region: str, buckets: tuple[str, ...], since: int) -> bool:
        found = await look(region, buckets, since)
        if not since:
            await reply_to(lane, create(user))
        return found

    monkeypatch.setattr(store, "has_users", look_and_let_a_user_in)

    with pytest.raises(BadBuckets, match="have users"):
        await lane.release_buckets(0, 9, "s2")
    assert (await reply_to(lane, create(user))).reason == ""


async def test_lanes_that_die_at_any_moment_leave_every_bucket_with_one_owner(town: City) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)  # noqa: T201
    chance = random.Random(seed)
    town.peers.fault_share = 0.3
    for number in range(MOVES):
        bucket = number * 3
        moving = asyncio.create_task(release(town, bucket, bucket + 1))
        await asyncio.sleep(chance.random() * 0.05)
        for shard in chance.sample(("s1", "s2"), chance.randrange(3)):
            await town.kill(shard)
            await town.start(shard)
        await asyncio.wait_for(moving, WAIT_SECONDS_MAX)
    town.peers.fault_share = 0.0

    for number in range(MOVES):
        for bucket in (number * 3, number * 3 + 1):
            await owned(town, "s2", bucket)
            assert state(town, "s1", bucket) == MOVED
    owners = [
        [shard for shard in town.lanes if state(town, shard, bucket) == OWNED]
        for bucket in range(len(NAMES))
    ]
    assert all(len(each) == 1 for each in owners)


async def release(town: City, first: int, last: int) -> None:
    """Release again and again until it is known to be done, as `tender shards move` does."""
    while True:
        try:
            async with asyncio.timeout(1.0):
                await town.lanes["s1"].release_buckets(first, last, "s2")
        except (Unavailable, TimeoutError, KeyError):
            await asyncio.sleep(0.05)
        else:
            return
