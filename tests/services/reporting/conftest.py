"""A database of the reporting service, and ledgers in memory whose journals it is fed from."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local.stack import Stack
from storage import migrate
from storage.memory import Database, MemoryLaneStore
from tests.databases import with_database
from tests.lane.city import City, city_of
from tests.services.reporting.projections import Projected

MIGRATIONS = Path("services/reporting/migrations")
NUMBERS = itertools.count(1)


@pytest.fixture
async def projected(engines: Stack) -> AsyncIterator[Projected]:
    """An empty projection."""
    name = f"reporting_{next(NUMBERS)}_{id(engines):x}"
    owner_url = engines.endpoints.owner_url
    administrator = await asyncpg.connect(with_database(owner_url, "template1"))
    try:
        await administrator.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        url = with_database(owner_url, name)
        await migrate.migrate(url, MIGRATIONS)
        connection = await asyncpg.connect(url)
        try:
            yield Projected(url, connection)
        finally:
            await connection.close()
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await administrator.close()


@pytest.fixture
def ledgers() -> dict[str, Database]:
    """Shards in memory, as far as `city` has opened them."""
    return {}


@pytest.fixture
async def city(ledgers: dict[str, Database]) -> AsyncIterator[City]:
    """Three shards whose lanes run."""

    def store(shard: str) -> MemoryLaneStore:
        return MemoryLaneStore(ledgers.setdefault(shard, Database()), shard)

    async with city_of(store) as found:
        yield found
