"""What a processor tells of itself at every change: the map, and the lanes that it holds."""

import asyncio
import time
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest

from kit.shard_map import ShardMap
from processor import directory as directory_module
from processor.directory import SIGN_OF_LIFE_SECONDS, Directory
from storage.shards.store import ShardMapStore
from tests.conftest import Shard
from tests.hosting.conftest import MAP, WAIT_SECONDS_MAX, Host, hosting, lanes

NEWER = "UPDATE shard_map_version SET version = 2"
CHANGE_SECONDS_MAX = 0.5
POLL_SECONDS_MAX = 2.5


async def execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def test_all_that_is_known_is_told_at_once(host: Host) -> None:
    started = time.monotonic()
    watching = host.watch()

    known = await watching.read()
    seconds = time.monotonic() - started
    watching.cancel()

    assert seconds < CHANGE_SECONDS_MAX
    assert known.processor
    assert lanes(known) == {"s1": 1, "s2": 1}
    assert ShardMap.from_message(known.shard_map) == MAP


async def test_a_sign_of_life_comes_twice_a_second(host: Host) -> None:
    watching = host.watch()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        first = await watching.read()
        started = time.monotonic()
        second = await watching.read()
        seconds = time.monotonic() - started
    watching.cancel()

    assert first == second
    assert SIGN_OF_LIFE_SECONDS * 0.9 < seconds < SIGN_OF_LIFE_SECONDS + CHANGE_SECONDS_MAX


async def test_a_newer_map_is_told(host: Host, shards: dict[str, Shard]) -> None:
    watching = host.watch()
    await watching.read()

    await execute(shards["s1"].owner_url, NEWER)
    started = time.monotonic()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while (known := await watching.read()).shard_map.version != 2:
            pass
    watching.cancel()

    assert time.monotonic() - started < POLL_SECONDS_MAX
    assert ShardMap.from_message(known.shard_map).ranges == MAP.ranges


async def test_a_stopping_processor_tells_that_it_holds_nothing_and_lets_watchers_go(
    host: Host,
) -> None:
    watching = host.watch()
    await watching.read()

    stopped_at = time.monotonic()
    host.stop.set_result("test")
    told = []
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while (known := await watching.read()) is not grpc.aio.EOF:
            told.append((lanes(known), time.monotonic() - stopped_at))

    assert told[-1][0] == {}
    assert min(seconds for held, seconds in told if not held) < CHANGE_SECONDS_MAX
    assert await watching.code() == grpc.StatusCode.OK
    await host.stopped


async def test_several_lanes_wait_for_the_map_and_are_told_when_it_is_there(
    tmp_path: Path, shards: dict[str, Shard]
) -> None:
    """Without it a lane would take every account of another shard for one that does not exist."""
    url = shards["s1"].owner_url
    await execute(url, "TRUNCATE shard_map_ranges, shard_map_version")

    async with hosting(tmp_path, shards) as host:
        watching = host.watch()
        for _ in range(2):  # At once, and with the next sign of life.
            known = await watching.read()
            assert not known.HasField("shard_map")
            assert not known.lanes
        watching.cancel()

        directory = ShardMapStore(url)
        await directory.write_first(MAP)
        await directory.close()

        assert set(await host.tells()) == {"s1", "s2"}


async def test_a_processor_learns_the_map_from_another_while_the_directory_is_away(
    tmp_path: Path, shards: dict[str, Shard]
) -> None:
    (tmp_path / "other").mkdir()
    url = "postgresql://nobody@127.0.0.1:1/nowhere"
    async with hosting(tmp_path, shards) as host:
        await host.tells()
        async with hosting(
            tmp_path / "other", shards, directory_database_url=url, peer_targets=(host.address,)
        ) as other:
            watching = other.watch()
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while not (known := await watching.read()).HasField("shard_map"):
                    pass
            watching.cancel()

    assert ShardMap.from_message(known.shard_map) == MAP


async def test_a_processor_that_was_never_told_a_map_stops_when_asked(
    tmp_path: Path, shards: dict[str, Shard]
) -> None:
    await execute(shards["s1"].owner_url, "TRUNCATE shard_map_ranges, shard_map_version")

    async with hosting(tmp_path, shards) as host:
        host.stop.set_result("test")
        await asyncio.wait_for(host.stopped, WAIT_SECONDS_MAX)


async def test_one_watcher_too_many_is_turned_away(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "WATCHERS_MAX", 2)
    watching = [host.watch() for _ in range(2)]
    for each in watching:
        await each.read()

    refused = host.watch()
    code = await refused.code()
    for each in watching:
        each.cancel()

    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_only_who_has_the_internal_token_may_watch(host: Host) -> None:
    watch: Any = host.channel.unary_stream("/tender.v1.DirectoryService/Watch")
    call = watch(b"")

    assert await call.code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_lane_lost_twice_wakes_nobody() -> None:
    directory = Directory("p1")
    directory.note_ownership("s1", 3)
    with directory.watched() as changed:
        directory.note_ownership("s1", 0)
        assert changed.is_set()
        changed.clear()

        directory.note_ownership("s1", 0)

        assert not changed.is_set()
        assert not directory.known().lanes
