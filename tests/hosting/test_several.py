"""Several processors for the same shards: they share the lanes, and never two write one."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from processor import sharing
from processor.peers import SILENCE_SECONDS_MAX
from tests.conftest import Shard
from tests.gateway.conftest import free_address
from tests.hosting.conftest import REGIONS, WAIT_SECONDS_MAX, Host, hosting, lanes

WATCH_SECONDS = 2.0
HANDOVER_SECONDS_MAX = 3.0
NAMES = ("p1", "p2")


async def told(host: Host) -> Mapping[str, int]:
    """Return the lanes that a processor holds now."""
    watching = host.watch()
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            return lanes(await watching.read())
    finally:
        watching.cancel()


async def until(
    hosts: Mapping[str, Host], fits: Callable[[dict[str, set[str]]], bool]
) -> dict[str, set[str]]:
    """Wait until the processors hold what is wanted; no lane may ever be with two at rest."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            held = {name: set(await told(host)) for name, host in hosts.items()}
            if fits(held):
                return held
            await asyncio.sleep(0.02)


def folder(parent: Path, name: str) -> Path:
    """Make a folder for the files of one processor."""
    made = parent / name
    made.mkdir()
    return made


def wanted() -> dict[str, set[str]]:
    """Return where the lanes belong while both processors are there."""
    return {
        name: {shard for shard in REGIONS if sharing.preferred(shard, NAMES) == name}
        for name in NAMES
    }


@pytest.fixture
async def both(tmp_path: Path, shards: dict[str, Shard]) -> AsyncIterator[dict[str, Host]]:
    """Two processors that know each other."""
    first, second = free_address(), free_address()
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                hosting(
                    folder(tmp_path, name),
                    shards,
                    address,
                    lane_owner=name,
                    # One may name itself too, as a list that is the same for all does.
                    peer_targets=(first, second),
                    handover_after_seconds=0,
                )
            )
            for name, address in zip(NAMES, (first, second), strict=True)
        }


async def test_two_processors_share_the_lanes(both: dict[str, Host]) -> None:
    await until(both, wanted().__eq__)

    for name, shards in wanted().items():
        for shard in REGIONS:
            stream = both[name].stream(shard)
            if shard in shards:
                await stream.account()
            else:
                assert (await stream.status())[0] is grpc.StatusCode.UNAVAILABLE


async def test_lanes_do_not_move_while_nothing_happens(both: dict[str, Host]) -> None:
    await until(both, wanted().__eq__)
    before = {name: await told(host) for name, host in both.items()}

    await asyncio.sleep(WATCH_SECONDS)

    assert {name: await told(host) for name, host in both.items()} == before


async def test_who_stops_leaves_its_lanes_to_the_other_at_once(both: dict[str, Host]) -> None:
    await until(both, wanted().__eq__)
    leaving, staying = both["p1"], both["p2"]

    stopped_at = time.monotonic()
    leaving.stop.set_result("test")
    await until({"p2": staying}, lambda held: held["p2"] == set(REGIONS))
    seconds = time.monotonic() - stopped_at
    await leaving.stopped

    assert seconds < HANDOVER_SECONDS_MAX
    for shard in REGIONS:
        await staying.stream(shard).account()


async def test_of_two_that_both_believe_to_be_preferred_one_writes(
    tmp_path: Path, shards: dict[str, Shard]
) -> None:
    """Neither hears the other, so that each takes itself for the only one."""
    async with (
        hosting(folder(tmp_path, "one"), shards, lane_owner="same") as one,
        hosting(folder(tmp_path, "other"), shards, lane_owner="same") as other,
    ):
        hosts = {"one": one, "other": other}
        held = await until(hosts, lambda held: len(held["one"]) + len(held["other"]) == 2)
        before = {name: await told(host) for name, host in hosts.items()}
        await asyncio.sleep(WATCH_SECONDS)

        assert {name: await told(host) for name, host in hosts.items()} == before
        for shard in REGIONS:
            [owner] = [name for name in hosts if shard in held[name]]
            [waiting] = [name for name in hosts if shard not in held[name]]
            await hosts[owner].stream(shard).account()
            status, _ = await hosts[waiting].stream(shard).status()
            assert status is grpc.StatusCode.UNAVAILABLE


async def test_without_redis_a_silent_owner_is_replaced_and_does_not_answer_any_more(
    tmp_path: Path, shards: dict[str, Shard]
) -> None:
    """The owner lives and holds the lock, but nobody hears it: its target is another's."""
    async with hosting(folder(tmp_path, "silent"), shards, lane_owner="silent") as silent:
        before = await silent.tells()
        stale = {shard: silent.stream(shard) for shard in REGIONS}
        for stream in stale.values():
            await stream.account()
        nobody = free_address()
        async with hosting(
            folder(tmp_path, "new"), shards, lane_owner="new", peer_targets=(nobody,)
        ) as new:
            started = time.monotonic()
            after = await new.tells(before)
            seconds = time.monotonic() - started
            for shard in REGIONS:
                assert after[shard] == before[shard] + 1
                await new.stream(shard).account()
                async with asyncio.timeout(WAIT_SECONDS_MAX):
                    while (said := await stale[shard].call.read()) is not grpc.aio.EOF:
                        assert not said.outcomes  # It may say that it has no incarnation now.
            assert not await told(silent)

    assert seconds < SILENCE_SECONDS_MAX + HANDOVER_SECONDS_MAX
