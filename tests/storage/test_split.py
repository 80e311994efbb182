"""Two primaries at once: the old one was only paused, and nobody killed it."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local import database
from deploy.local.stack import Stack, StackOptions
from processor.ports import Unavailable
from storage.postgres.lane_store import PostgresLaneStore

SETTLE_SECONDS = 30.0


@pytest.fixture
def stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="tender-test-") as folder:
        options = StackOptions(data_dir=Path(folder), with_servers=False, replicas=1)
        with Stack(options) as stack:
            yield stack


async def value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_a_lane_leaves_an_old_primary_that_wakes_up_and_none_opens_there(
    stack: Stack,
) -> None:
    old_url = stack.endpoints.owner_url
    new_url = database.at(old_url, database.where(stack.endpoints.replica_urls[0]))
    lane_url = stack.endpoints.processor_url
    both = database.at(lane_url, f"{database.where(old_url)},{database.where(new_url)}")
    first, second = PostgresLaneStore(both, "s1"), PostgresLaneStore(both, "s1")
    before = await first.open("first", evict=False)
    await _until_replicated(new_url)

    stack.kill("postgres", signal.SIGSTOP)
    try:
        assert await value(new_url, "SELECT pg_promote()")
        after = await second.open("second", evict=False)
    finally:
        stack.kill("postgres", signal.SIGCONT)

    assert after.ownership.epoch > before.ownership.epoch
    assert after.ownership.incarnation != before.ownership.incarnation
    # The old one takes writes again, and its lane is told to leave.
    assert not await value(old_url, "SELECT pg_is_in_recovery()")
    with pytest.raises(Unavailable, match="timeline"):
        await first.due(0, 0, 1)
    with pytest.raises(Unavailable, match="another owner"):
        await first.open("first", evict=False)
    await second.check(after.ownership)
    owners = "SELECT owner FROM lanes WHERE shard = 's1'"
    assert (await value(old_url, owners), await value(new_url, owners)) == ("first", "second")
    await first.close()
    await second.close()


async def _until_replicated(url: str) -> None:
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            if await value(url, "SELECT count(*) FROM lanes"):
                return
            await asyncio.sleep(0.05)
