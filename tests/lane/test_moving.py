"""A lane that is given up and sought again: what is decided, what goes to the next owner."""

import asyncio

from processor.entries import MOVED
from processor.lane import Lane
from processor.ports import LaneClosed, LaneStorage
from storage.postgres.lane_store import PostgresLaneStore
from tests.conftest import Shard
from tests.lane.conftest import running
from tests.lane.harness import Caller, authorize

WAIT_SECONDS_MAX = 10.0


async def test_what_waits_is_decided_and_what_comes_goes_to_the_next_owner(
    storage: LaneStorage,
) -> None:
    async with running(storage) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        waiting = [caller.send(authorize(payer, merchant, 10)) for _ in range(20)]
        giving_up = asyncio.create_task(lane.give_up(5.0))
        await asyncio.sleep(0)

        assert lane.is_elsewhere
        assert caller.send(authorize(payer, merchant, 10)).result() is MOVED
        assert [reply.reason for reply in await asyncio.gather(*waiting)] == [""] * 20
        await giving_up

        assert not lane.is_open
        assert not lane.is_pursued
        assert caller.send(authorize(payer, merchant, 10)).result() is MOVED


async def test_what_cannot_be_decided_in_time_goes_to_the_next_owner(
    storage: LaneStorage,
) -> None:
    async with running(storage) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 10_000), await caller.merchant("cafe")
        waiting = [caller.send(authorize(payer, merchant, 1)) for _ in range(2_000)]

        await lane.give_up()

        replies = await asyncio.gather(*waiting)
        assert all(reply is MOVED or not reply.reason for reply in replies)
        assert any(reply is MOVED for reply in replies)


async def test_a_lane_is_given_up_and_sought_again_and_again(storage: LaneStorage) -> None:
    async with running(storage) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        for _ in range(3):
            await lane.give_up(1.0)
            lane.pursue("handed_over")
            await asyncio.wait_for(lane.opened(), WAIT_SECONDS_MAX)
            await caller.ask(authorize(payer, merchant, 10))


async def test_legs_are_not_taken_while_a_lane_is_given_up(storage: LaneStorage) -> None:
    async with running(storage) as lane:
        await lane.give_up()

        try:
            await lane.carry("s2", 0, ())
        except LaneClosed:
            return
    raise AssertionError("the position of a lane that is elsewhere was told")


async def test_the_next_owner_can_open_as_soon_as_the_lane_is_told_to_be_free(
    shard: Shard,
) -> None:
    """No try of its own fails: nothing of the old owner's session is left by then."""
    successor = PostgresLaneStore(shard.lane_url, "s1")
    told: list[tuple[str, int]] = []
    free = asyncio.Event()

    def tell(name: str, epoch: int) -> None:
        told.append((name, epoch))
        if not epoch:
            free.set()

    lane = Lane(
        PostgresLaneStore(shard.lane_url, "s1"),
        region="eu",
        shard="s1",
        owner="first",
        on_ownership=tell,
    )
    task = asyncio.create_task(lane.run())
    try:
        await asyncio.wait_for(lane.opened(), WAIT_SECONDS_MAX)
        giving_up = asyncio.create_task(lane.give_up(1.0))
        await asyncio.wait_for(free.wait(), WAIT_SECONDS_MAX)
        opened = await successor.open("second", evict=False)
        await giving_up
    finally:
        await successor.close()
        await lane.stop(0)
        await task

    assert opened.ownership.epoch == 2
    assert told[:2] == [("s1", 1), ("s1", 0)]


async def test_a_lane_that_is_not_pursued_is_left_alone_until_it_is(storage: LaneStorage) -> None:
    lane = Lane(storage, region="eu", shard="s1", owner="o", pursued=False)
    task = asyncio.create_task(lane.run())
    try:
        await asyncio.sleep(0.2)
        assert not lane.is_open
        lane.pursue("unheld")
        await asyncio.wait_for(lane.opened(), WAIT_SECONDS_MAX)
    finally:
        await lane.stop(1.0)
        await asyncio.wait_for(task, WAIT_SECONDS_MAX)
