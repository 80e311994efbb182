"""One embedded Postgres for the whole run, and an empty shard database for each test that asks."""

import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.kafka import java
from deploy.local.stack import Stack
from tests.databases import Databases, with_database
from tests.engines import options as engine_options
from tests.kafka import brokers

TEMPLATE = "shard_template"


@dataclass(frozen=True)
class Shard:
    """One shard's database, reached as its owner (a superuser), its lane or a reader."""

    owner_url: str
    lane_url: str
    reader_url: str


@pytest.fixture(scope="session")
def engines() -> Iterator[Stack]:
    """Postgres, Valkey and Kafka; no servers of ours."""
    with (
        tempfile.TemporaryDirectory(prefix="tender-test-") as folder,
        Stack(engine_options(Path(folder))) as stack,
    ):
        yield stack


@pytest.fixture(scope="session")
async def shard_databases(engines: Stack) -> Databases:
    """Migrated, empty databases to use."""
    owner_url = engines.endpoints.owner_url
    connection = await asyncpg.connect(with_database(owner_url, "template1"))
    try:
        source = urlsplit(owner_url).path.lstrip("/")
        await connection.execute(f'CREATE DATABASE {TEMPLATE} TEMPLATE "{source}"')
    finally:
        await connection.close()
    return Databases(owner_url, TEMPLATE)


@contextlib.asynccontextmanager
async def fresh_shard(engines: Stack, databases: Databases) -> AsyncIterator[Shard]:
    """Give an empty shard until the end of the block; for tests that need several."""
    name = await databases.take()
    endpoints = engines.endpoints
    yield Shard(
        with_database(endpoints.owner_url, name),
        with_database(endpoints.processor_url, name),
        with_database(endpoints.query_url, name),
    )
    await databases.give_back(name)


@pytest.fixture
async def shard(engines: Stack, shard_databases: Databases) -> AsyncIterator[Shard]:
    """An empty shard."""
    async with fresh_shard(engines, shard_databases) as one:
        yield one


@pytest.fixture
async def three_shards(
    engines: Stack, shard_databases: Databases
) -> AsyncIterator[dict[str, Shard]]:
    """Three empty shards by name."""
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(fresh_shard(engines, shard_databases))
            for name in ("s1", "s2", "s3")
        }


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Broker]:
    """A broker: Apache Kafka where Java is. Tests make topics of their own, by `topic_prefix`."""
    with brokers.shared(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def durable_kafka(kafka: brokers.Broker) -> brokers.Broker:
    """The same for tests of what only Apache Kafka does: without Java they fail, and say so."""
    if not kafka.is_durable:
        java.java()
        java.maven()
    return kafka


@pytest.fixture
def topic_prefix() -> str:
    """What no topic of another test begins with."""
    return f"t{secrets.token_hex(4)}."
