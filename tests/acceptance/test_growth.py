"""Plans made on empty tables must still be right when the tables have grown (R8)."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from processor.lane import Lane
from storage.postgres.lane_store import PostgresLaneStore
from storage.verify import verify
from tests.acceptance.conftest import measured
from tests.conftest import Shard
from tests.lane.conftest import running
from tests.lane.harness import Caller, authorize

CUSTOMERS = 200
SMALL_BATCHES = 60
"""Many more than the five after which a plan may be cached."""

PAYMENTS = 15_000
"""With two transfers and a request key each: 60,000 rows."""

IN_FLIGHT = 600
HOT_SHARE_MIN = 0.95
FLUSH_SECONDS = 1.2
"""An idle backend tells its statistics after a second at the latest."""

LANE_TABLES = ("accounts", "payments", "transfers", "requests", "journal")
STATISTICS = """
SELECT relname, seq_scan, n_tup_upd, n_tup_hot_upd, n_tup_ins
  FROM pg_stat_user_tables WHERE relname = ANY($1::text[])
"""


@pytest.fixture
async def lane(shard: Shard) -> AsyncIterator[Lane]:
    async with running(PostgresLaneStore(shard.lane_url, "s1")) as lane:
        yield lane


async def statistics(shard: Shard) -> dict[str, asyncpg.Record]:
    await asyncio.sleep(FLUSH_SECONDS)
    connection = await asyncpg.connect(shard.owner_url)
    try:
        rows = await connection.fetch(STATISTICS, LANE_TABLES)
    finally:
        await connection.close()
    return {row["relname"]: row for row in rows}


async def pay(caller: Caller, customers: list[str], merchant: str, count: int, width: int) -> None:
    """Make payments, `width` of them at a time."""
    numbers = iter(range(count))

    async def pay_on() -> None:
        for number in numbers:
            await caller.ask(authorize(customers[number % len(customers)], merchant, 10))

    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(pay_on())


async def test_a_lane_that_grows_from_empty_never_scans_a_table_and_updates_accounts_in_place(
    shard: Shard, lane: Lane
) -> None:
    caller = Caller(lane)
    customers = [await caller.account(f"user-{n}", 1_000_000) for n in range(5)]
    merchant = await caller.merchant("shop", basis_points=150, fixed=1)
    await pay(caller, customers, merchant, SMALL_BATCHES, width=1)
    opened = await asyncio.gather(
        *(caller.account(f"guest-{n}", 1_000_000) for n in range(CUSTOMERS))
    )
    before = await statistics(shard)
    started = asyncio.get_running_loop().time()

    await pay(caller, opened, merchant, PAYMENTS, width=IN_FLIGHT)

    seconds = asyncio.get_running_loop().time() - started
    after = await statistics(shard)
    scans = {name: after[name]["seq_scan"] - before[name]["seq_scan"] for name in LANE_TABLES}
    written = sum(after[name]["n_tup_ins"] - before[name]["n_tup_ins"] for name in LANE_TABLES)
    updates = after["accounts"]["n_tup_upd"] - before["accounts"]["n_tup_upd"]
    in_place = after["accounts"]["n_tup_hot_upd"] - before["accounts"]["n_tup_hot_upd"]
    measured(
        f"growth: {written:,} rows, {PAYMENTS / seconds:,.0f} payments/s in the lane alone,"
        f" {in_place / updates:.1%} of account updates in place"
    )
    assert scans == dict.fromkeys(LANE_TABLES, 0)
    assert written >= 60_000
    assert in_place / updates > HOT_SHARE_MIN
    assert (await verify(shard.owner_url)).breaches == []
