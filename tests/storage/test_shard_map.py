"""The directory in a real Postgres: read, watched, written once, and never with an overlap."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from kit.shard_map import BadShardMap, BucketRange, ShardMap
from storage.shards import store
from storage.shards.store import DirectoryAway, MapExists, ShardMapStore
from tests.conftest import Shard

FIRST = ShardMap.split({"eu": ["s1", "s3"], "us": ["s2", "s4"]})
WAIT_SECONDS_MAX = 10.0
MOVE = """
UPDATE shard_map_ranges SET last_bucket = 499 WHERE shard = 's1';
UPDATE shard_map_ranges SET first_bucket = 500 WHERE shard = 's3';
UPDATE shard_map_version SET version = version + 1;
"""
END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE application_name = 'tender_directory' AND datname = current_database()
"""


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[ShardMapStore]:
    directory = ShardMapStore(dsn)
    try:
        yield directory
    finally:
        await directory.close()


async def execute(shard: Shard, sql: str, *arguments: object) -> None:
    connection = await asyncpg.connect(shard.owner_url)
    try:
        await connection.execute(sql, *arguments)
    finally:
        await connection.close()


async def write_first(shard: Shard) -> None:
    async with opened(shard.owner_url) as directory:
        await directory.write_first(FIRST)


async def test_there_is_no_map_before_the_first(shard: Shard) -> None:
    async with opened(shard.reader_url) as directory:
        assert await directory.read() is None


async def test_a_map_is_read_as_it_was_written(shard: Shard) -> None:
    await write_first(shard)

    for url in (shard.reader_url, shard.lane_url):
        async with opened(url) as directory:
            assert await directory.read() == FIRST


async def test_the_first_map_is_written_once(shard: Shard) -> None:
    other = ShardMap.split({"eu": ["s1"], "us": ["s2"]})
    async with opened(shard.owner_url) as directory:
        await directory.write_first(FIRST)
        await directory.write_first(FIRST)

        with pytest.raises(MapExists, match="version 1"):
            await directory.write_first(other)

        assert await directory.read() == FIRST


async def test_of_two_that_write_a_first_map_one_is_refused(shard: Shard) -> None:
    other = ShardMap.split({"eu": ["s1"], "us": ["s2"]})
    async with opened(shard.owner_url) as one, opened(shard.owner_url) as two:
        results = await asyncio.gather(
            one.write_first(FIRST), two.write_first(other), return_exceptions=True
        )
        written = await one.read()

    assert [type(result) for result in results if result is not None] == [MapExists]
    assert written == (FIRST if results[0] is None else other)


@pytest.mark.parametrize("role", ["lane_url", "reader_url"])
async def test_only_the_owner_writes_the_map(shard: Shard, role: str) -> None:
    async with opened(getattr(shard, role)) as directory:
        with pytest.raises(DirectoryAway, match="InsufficientPrivilege"):
            await directory.write_first(FIRST)

    async with opened(shard.owner_url) as directory:
        assert await directory.read() is None


@pytest.mark.parametrize(
    "overlapping",
    [("eu", 511, 511, "s9"), ("eu", 1, 1023, "s9"), ("us", 1023, 1023, "s9"), ("us", 3, 7, "s2")],
)
async def test_the_database_refuses_a_bucket_that_two_ranges_have(
    shard: Shard, overlapping: tuple[object, ...]
) -> None:
    await write_first(shard)

    with pytest.raises(asyncpg.ExclusionViolationError, match="shard_map_ranges_apart"):
        await execute(shard, "INSERT INTO shard_map_ranges VALUES ($1, $2, $3, $4)", *overlapping)


@pytest.mark.parametrize(
    "wrong", [("ap", -1, 5, "s9"), ("ap", 5, 4, "s9"), ("ap", 0, 1024, "s9"), ("a p", 0, 1, "s9")]
)
async def test_the_database_refuses_what_is_no_range(
    shard: Shard, wrong: tuple[object, ...]
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await execute(shard, "INSERT INTO shard_map_ranges VALUES ($1, $2, $3, $4)", *wrong)


async def test_a_map_with_a_gap_is_not_read(shard: Shard) -> None:
    await write_first(shard)
    await execute(shard, "DELETE FROM shard_map_ranges WHERE shard = 's3'")

    async with opened(shard.reader_url) as directory:
        with pytest.raises(BadShardMap, match="bucket 512 of region eu is in none"):
            await directory.read()


async def test_a_directory_that_does_not_answer_is_said_to_be_away() -> None:
    async with opened("postgresql://nobody:hunter2@127.0.0.1:1/none") as directory:
        with pytest.raises(DirectoryAway) as away:
            await directory.read()

    assert "hunter2" not in str(away.value)


async def test_whoever_watches_hears_the_map_and_every_newer_one(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "POLL_SECONDS", 0.02)
    told: asyncio.Queue[ShardMap] = asyncio.Queue()
    async with opened(shard.reader_url) as directory:
        watching = asyncio.create_task(directory.watch(told.put_nowait))
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await asyncio.sleep(0.1)
                assert told.empty()
                await write_first(shard)
                assert await told.get() == FIRST

                await execute(shard, END_SESSIONS)
                await execute(shard, MOVE)
                newer = await told.get()

                await execute(shard, "UPDATE shard_map_version SET version = 1")
                await asyncio.sleep(0.1)
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    assert newer.version == 2
    assert BucketRange("eu", 500, 1023, "s3") in newer.ranges
    assert told.empty()


async def test_an_overlapping_move_is_refused_as_a_whole(shard: Shard) -> None:
    await write_first(shard)

    with pytest.raises(asyncpg.ExclusionViolationError):
        await execute(shard, MOVE.replace("499", "700"))

    async with opened(shard.reader_url) as directory:
        assert await directory.read() == FIRST
