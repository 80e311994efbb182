"""The lease says who lives; without Redis, or with a wrong one, the lane is still safe."""

import asyncio
import socket

import pytest
import redis

from deploy.local.stack import Stack
from processor.ports import StorageError
from storage.postgres.lane_store import PostgresLaneStore
from storage.redis.lease import RedisLease
from tests.conftest import Shard
from tests.lane.conftest import running
from tests.lane.harness import Caller, authorize

LIFE_MS = 400


@pytest.fixture
def url(engines: Stack) -> str:
    with redis.Redis.from_url(engines.endpoints.redis_url) as client:
        client.flushall()
    return engines.endpoints.redis_url


async def test_a_lease_is_claimed_once_and_runs_out(url: str) -> None:
    first, second = (RedisLease(url, "a", life_ms=LIFE_MS) for _ in range(2))

    assert await first.claim("first")
    assert await first.claim("first")
    assert not await second.claim("second")

    await asyncio.sleep(LIFE_MS / 1_000 + 0.1)
    assert await second.claim("second")


async def test_a_kept_lease_does_not_run_out_and_a_flush_does_not_lose_it(url: str) -> None:
    first, second = (RedisLease(url, "b", life_ms=LIFE_MS) for _ in range(2))
    first.keep("first")

    await asyncio.sleep(LIFE_MS / 1_000 * 2)
    assert not await second.claim("second")
    with redis.Redis.from_url(url) as client:
        client.flushall()
    await asyncio.sleep(LIFE_MS / 1_000 / 2)
    assert not await second.claim("second")

    await first.release("first")
    assert await second.claim("second")


async def test_only_its_holder_releases_a_lease(url: str) -> None:
    first, second = (RedisLease(url, "c", life_ms=60_000) for _ in range(2))
    await first.claim("first")

    await second.release("second")

    assert not await second.claim("second")


async def test_without_redis_nobody_is_called_dead(url: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        lease = RedisLease(f"redis://127.0.0.1:{unused.getsockname()[1]}/0", "d")

        assert not await lease.claim("first")
        lease.keep("first")
        await lease.release("first")


async def test_an_owner_that_hangs_is_replaced_and_then_refused(shard: Shard, url: str) -> None:
    hanging = PostgresLaneStore(shard.lane_url, "s1")
    stale = await hanging.open("hangs", evict=False)
    lease = RedisLease(url, "s1", life_ms=LIFE_MS)
    await lease.claim("hangs")
    successor = PostgresLaneStore(shard.lane_url, "s1", tenure_seconds_min=0)

    async with running(
        successor, owner="successor", lease=RedisLease(url, "s1", life_ms=LIFE_MS)
    ) as lane:
        assert lane.is_open
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 100), await caller.merchant("cafe")
        await caller.ask(authorize(payer, merchant, 100))

    with pytest.raises(StorageError):
        await hanging.check(stale.ownership)
    await hanging.close()
