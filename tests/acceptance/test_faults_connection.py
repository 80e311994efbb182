"""A connection of the lane that ends at any moment costs the lane, never the process."""

import asyncio

import asyncpg

from processor.domain.view import Item
from processor.ports import Unavailable
from storage.postgres.lane_store import PostgresLaneStore
from tests.conftest import Shard

ROUNDS = 20
ITEMS = [Item("account", f"acc_eu_{number:022}") for number in range(50)]
END_ALL = """
SELECT count(pg_terminate_backend(pid))
  FROM pg_stat_activity
 WHERE application_name LIKE 'tender-lane-%' AND datname = current_database()
"""


async def load_until_lost(store: PostgresLaneStore) -> None:
    while True:
        try:
            await store.load(ITEMS)
        except Unavailable:
            return


async def test_a_load_whose_connection_is_ended_says_that_the_shard_is_away(shard: Shard) -> None:
    store = PostgresLaneStore(shard.lane_url, "s1")
    killer = await asyncpg.connect(shard.owner_url)
    try:
        for number in range(ROUNDS):
            await store.open("owner", evict=False)
            loading = asyncio.create_task(load_until_lost(store))
            await asyncio.sleep(number * 0.0001)

            ended = await killer.fetchval(END_ALL)
            await asyncio.wait_for(loading, 10)

            assert ended >= 2
    finally:
        await store.close()
        await killer.close()
