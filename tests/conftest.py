"""One embedded Postgres for the whole run, and a fresh shard database for each test that asks."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from deploy.local.stack import Stack, StackOptions

TEMPLATE = "shard_template"


@dataclass(frozen=True)
class Shard:
    """One shard's database, reached as its owner (a superuser), its lane or a reader."""

    owner_url: str
    lane_url: str
    reader_url: str


def with_database(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def engines() -> Iterator[Stack]:
    """Postgres with a standby, Valkey and Kafka; no servers of ours."""
    with tempfile.TemporaryDirectory(prefix="tender-test-") as folder:
        options = StackOptions(data_dir=Path(folder), with_servers=False)
        with Stack(options) as stack:
            yield stack


@pytest.fixture(scope="session")
async def shard_template(engines: Stack) -> str:
    """A migrated, empty database to copy."""
    connection = await asyncpg.connect(engines.endpoints.owner_url)
    try:
        source = urlsplit(engines.endpoints.owner_url).path.lstrip("/")
        await connection.close()
        connection = await asyncpg.connect(with_database(engines.endpoints.owner_url, "template1"))
        await connection.execute(f'CREATE DATABASE {TEMPLATE} TEMPLATE "{source}"')
    finally:
        await connection.close()
    return TEMPLATE


_made = 0


@contextlib.asynccontextmanager
async def fresh_shard(engines: Stack, template: str) -> AsyncIterator[Shard]:
    """Make a shard that is dropped at the end of the block; for tests that need several."""
    global _made
    _made += 1
    name = f"shard_{_made}"
    admin = await asyncpg.connect(with_database(engines.endpoints.owner_url, "template1"))
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        endpoints = engines.endpoints
        yield Shard(
            with_database(endpoints.owner_url, name),
            with_database(endpoints.processor_url, name),
            with_database(endpoints.query_url, name),
        )
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture
async def shard(engines: Stack, shard_template: str) -> AsyncIterator[Shard]:
    """A fresh shard."""
    async with fresh_shard(engines, shard_template) as one:
        yield one


@pytest.fixture
async def three_shards(engines: Stack, shard_template: str) -> AsyncIterator[dict[str, Shard]]:
    """Three fresh shards by name."""
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(fresh_shard(engines, shard_template))
            for name in ("s1", "s2", "s3")
        }
