"""The same tests on a shard in memory and on one in Postgres."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from processor.lane import Lane, Limits
from processor.ports import LaneStorage, Lease
from processor.witness import Witness
from storage.memory import Database, MemoryLaneStore
from storage.postgres.lane_store import PostgresLaneStore
from tests.conftest import Shard
from tests.lane.harness import Caller

START_SECONDS_MAX = 10.0

Databases = dict[str, Database] | dict[str, Shard]


@contextlib.asynccontextmanager
async def running(
    storage: LaneStorage,
    *,
    owner: str = "test-owner",
    limits: Limits | None = None,
    lease: Lease | None = None,
    witness: Witness | None = None,
) -> AsyncIterator[Lane]:
    """A lane that runs until the block ends."""
    lane = Lane(
        storage,
        region="eu",
        shard="s1",
        owner=owner,
        limits=limits,
        lease=lease,
        witness=witness,
    )
    task = asyncio.create_task(lane.run())
    try:
        await asyncio.wait_for(lane.opened(), START_SECONDS_MAX)
        yield lane
    finally:
        await lane.stop(1.0)
        await asyncio.wait_for(task, 10)


@pytest.fixture(params=["memory", "postgres"])
def storage(request: pytest.FixtureRequest) -> LaneStorage:
    """An empty shard."""
    if request.param == "memory":
        return MemoryLaneStore(Database(), "s1")
    shard: Shard = request.getfixturevalue("shard")
    return PostgresLaneStore(shard.lane_url, "s1")


@pytest.fixture
async def caller(storage: LaneStorage) -> AsyncIterator[Caller]:
    """Calls a lane on an empty shard."""
    async with running(storage) as lane:
        yield Caller(lane)


@pytest.fixture(params=["memory", "postgres"])
def databases(request: pytest.FixtureRequest) -> Databases:
    """Three empty shards."""
    if request.param == "memory":
        return {name: Database() for name in ("s1", "s2", "s3")}
    shards: dict[str, Shard] = request.getfixturevalue("three_shards")
    return shards


def store_of(databases: Databases) -> Callable[[str], LaneStorage]:
    def store(name: str) -> LaneStorage:
        database = databases[name]
        if isinstance(database, Database):
            return MemoryLaneStore(database, name)
        return PostgresLaneStore(database.lane_url, name, tenure_seconds_min=0)

    return store
