"""A consumer's own database, and topics of a test's own on a broker."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from confluent_kafka import KafkaError, Producer

from deploy.local.stack import Stack
from kit import topics
from processor.consumers.loop import Consumer, Limits
from storage import migrate
from tests.consumers.events import EFFECTS, Sent
from tests.databases import with_database
from tests.kafka import brokers

NUMBERS = itertools.count(1)
PARTITIONS = 4
WAIT_SECONDS_MAX = 60.0
"""Long beside what is waited for, for a machine that does much else."""
QUICK = Limits(poll_seconds_max=0.02, forget_seconds=3_600.0)


@dataclass(frozen=True)
class Office:
    """The database of a consumer."""

    url: str

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Return the rows of a query."""
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    async def effects(self) -> list[str]:
        """Return the ids of events by their effects, in the order in which they came."""
        rows = await self.fetch("SELECT event_id FROM effects ORDER BY place")
        return [row["event_id"] for row in rows]

    async def versions(self, entity: str) -> list[int]:
        """Return what happened to an entity, in the order in which it came."""
        query = "SELECT version FROM effects WHERE entity_id = $1 ORDER BY place"
        return [row["version"] for row in await self.fetch(query, entity)]


@pytest.fixture
async def office(engines: Stack) -> AsyncIterator[Office]:
    """An empty one."""
    name = f"consumer_{next(NUMBERS)}_{id(engines):x}"
    owner_url = engines.endpoints.owner_url
    administrator = await asyncpg.connect(with_database(owner_url, "template1"))
    try:
        await administrator.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        made = Office(with_database(owner_url, name))
        await migrate.migrate(made.url, migrate.CONSUMER_MIGRATIONS)
        await made.fetch(EFFECTS)
        yield made
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await administrator.close()


@contextlib.asynccontextmanager
async def running(consumer: Consumer[Any, Any]) -> AsyncIterator[None]:
    """Run a consumer until the end of the block; what it raises fails the test."""
    task = asyncio.create_task(consumer.run())
    try:
        yield
    finally:
        consumer.stop()
        await asyncio.wait_for(task, WAIT_SECONDS_MAX)


async def eventually(holds: Callable[[], Awaitable[bool]] | Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    stop_by = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        said = holds()
        if said if isinstance(said, bool) else await said:
            return
        assert time.monotonic() < stop_by, f"no {what} in {WAIT_SECONDS_MAX:.0f} s"
        await asyncio.sleep(0.02)


@pytest.fixture
def bootstrap(kafka: brokers.Broker) -> str:
    """A broker: Apache Kafka where there is Java."""
    return kafka.bootstrap


@pytest.fixture
def topic(kafka: brokers.Broker, topic_prefix: str) -> str:
    """A topic that nobody else uses, with the one for its dead letters."""
    name = f"{topic_prefix}payments"
    kafka.make_topics(name, topics.dead_letters(name), partitions=PARTITIONS)
    return name


def publish(bootstrap: str, topic: str, records: Sequence[Sent], *, partition: int = -1) -> None:
    """Publish records and wait until the broker has them."""
    failures: list[KafkaError] = []

    def told(error: KafkaError | None, _record: object) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer(
        {"bootstrap.servers": bootstrap, "log_level": 0, "partitioner": "murmur2_random"}
    )
    for key, value, headers in records:
        producer.produce(topic, value, key, partition, on_delivery=told, headers=list(headers))
    assert producer.flush(WAIT_SECONDS_MAX) == 0
    assert failures == []


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[brokers.ApacheKafka]:
    """An Apache Kafka of a test's own, with a topic, that may be killed and started again."""
    with brokers.ApacheKafka(tmp_path) as own:
        own.broker.make_topics("payments", "payments.dlq", partitions=PARTITIONS)
        yield own
