"""The walk that finds request keys past their retention: all of them, a few pages at a time."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from storage.postgres import old_keys
from storage.postgres.old_keys import OldKeys
from tests.conftest import Shard

FILL: Final = """
    INSERT INTO requests (
        tenant_id, request_id, method, fingerprint, outcome, resource_id, seq, created_at
    )
    SELECT 'acme', 'order-' || n, 'AUTHORIZE_PAYMENT', '', '', 'pay_eu_' || n, 1, $3
      FROM generate_series($1::int, $2::int) AS n
"""
OLD: Final = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT: Final = 500
SECONDS_MAX: Final = 5.0


async def test_it_finds_every_old_key_and_no_other(shard: Shard) -> None:
    connection = await asyncpg.connect(shard.owner_url)
    try:
        await connection.execute(FILL, 1, 3_000, OLD)
        await connection.execute(FILL, 3_001, 9_000, OLD + timedelta(days=2))
        walk, found, idle = OldKeys(), set[str](), 0

        while idle < await _looks_per_pass(connection):
            keys = await walk.find(connection, _cutoff(), LIMIT, SECONDS_MAX)
            assert len(keys) <= LIMIT
            idle = 0 if keys else idle + 1
            found.update(request_id for _, request_id in keys)
            await connection.executemany(
                "DELETE FROM requests WHERE tenant_id = $1 AND request_id = $2", keys
            )

        assert found == {f"order-{n}" for n in range(1, 3_001)}
        assert await connection.fetchval("SELECT count(*) FROM requests") == 6_000
    finally:
        await connection.close()


async def test_a_look_that_was_not_followed_by_deletion_finds_the_same_again(shard: Shard) -> None:
    connection = await asyncpg.connect(shard.owner_url)
    try:
        await connection.execute(FILL, 1, 10, OLD)
        walk = OldKeys()

        first = await walk.find(connection, _cutoff(), LIMIT, SECONDS_MAX)
        second = await walk.find(connection, _cutoff(), LIMIT, SECONDS_MAX)

        assert len(first) == 10
        assert sorted(first) == sorted(second)
    finally:
        await connection.close()


async def test_a_look_reads_a_few_pages_of_a_large_table(shard: Shard) -> None:
    connection = await asyncpg.connect(shard.owner_url)
    try:
        await connection.execute(FILL, 1, 60_000, OLD + timedelta(days=2))
        pages = await connection.fetchval(old_keys._PAGES)
        assert pages > 20 * old_keys.PAGES_MIN

        plan = json.loads(
            await connection.fetchval(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {old_keys._OLD_KEYS}",
                pages // 2,
                pages // 2 + old_keys.PAGES_MIN,
                OLD + timedelta(days=1),
                LIMIT,
            )
        )[0]["Plan"]

        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= 2 * old_keys.PAGES_MIN
    finally:
        await connection.close()


async def _looks_per_pass(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    pages = int(await connection.fetchval(old_keys._PAGES))
    return pages // old_keys.PAGES_MIN + 2


def _cutoff() -> int:
    return int((OLD + timedelta(days=1)).timestamp()) * 1_000_000
