"""The relay against a real journal and a real broker: everything, in order, whatever happens."""

import asyncio
import contextlib
import secrets
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import asyncpg
import pytest
from confluent_kafka import Consumer

from deploy.local.stack import Stack
from processor.events import messages
from processor.events.ports import Away, Message
from processor.relay import Relay
from storage.kafka.publisher import KafkaPublisher
from storage.postgres import journal_source
from storage.postgres.journal_source import JournalSource, ReleasesThere
from storage.postgres.lane_store import PostgresLaneStore
from tender.v1 import event_pb2
from tests.conftest import Shard
from tests.events.told import messages_of
from tests.lane.conftest import running
from tests.lane.harness import Caller, authorize
from tests.storage.test_verify import fill

PAYMENTS = 60
WAIT_SECONDS_MAX = 30.0


class Market:
    """A shard, a topic prefix of its own, and what its relays published."""

    def __init__(self, shard: Shard, bootstrap: str) -> None:
        self.shard = shard
        self.bootstrap = bootstrap
        self.prefix = f"t{uuid.uuid4().hex[:8]}."

    def relay(self, publisher: Callable[[int], Any] | None = None) -> Relay:
        return Relay(
            "s1",
            f"relay-{secrets.token_hex(2)}",
            JournalSource(self.shard.owner_url, "s1"),
            publisher or self.publisher,
            ReleasesThere("s1", {}),
        )

    def publisher(self, position: int) -> KafkaPublisher:
        return KafkaPublisher({"bootstrap.servers": self.bootstrap}, self.prefix, position)

    async def fetch(self, query: str, *arguments: object) -> Any:
        connection = await asyncpg.connect(self.shard.owner_url)
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()

    async def told_up_to_its_end(self) -> bool:
        query = """SELECT (SELECT position FROM relays) = (SELECT max(seq) FROM journal)"""
        return bool(await self.fetch(query))

    async def expected(self) -> list[Message]:
        source = JournalSource(self.shard.owner_url, "s1")
        await source.open("the test")
        try:
            return messages_of(await source.rows(0, 100_000))
        finally:
            await source.close()

    def published(self, expected: int) -> dict[str, list[event_pb2.Event]]:
        """Return what stands in each partition, once there are so many different events."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": uuid.uuid4().hex,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        found: dict[str, list[event_pb2.Event]] = defaultdict(list)
        seen: set[str] = set()
        try:
            consumer.subscribe([self.prefix + topic for topic in messages.topics()])
            for _ in range(int(WAIT_SECONDS_MAX * 10)):
                for message in consumer.consume(500, 0.1):
                    assert message.error() is None
                    event = event_pb2.Event.FromString(message.value() or b"")
                    seen.add(event.id)
                    found[f"{message.topic()}/{message.partition()}"].append(event)
                if len(seen) >= expected:
                    break
        finally:
            consumer.close()
        return found

    async def agree(self) -> int:
        """Compare the topics with the journal; return how many repeats there were."""
        expected = await self.expected()
        place = {_id(one): n for n, one in enumerate(expected)}
        published = await asyncio.to_thread(self.published, len(expected))
        first: dict[str, None] = {}
        for events in published.values():
            # Their first appearances; any further one says nothing new.
            order = list(dict.fromkeys(event.id for event in events))
            assert order == sorted(order, key=place.__getitem__)
            first |= dict.fromkeys(order)
        assert first.keys() == place.keys()
        return sum(map(len, published.values())) - len(expected)


def _id(message: Message) -> str:
    _, _, value, _ = message
    return event_pb2.Event.FromString(value).id


@pytest.fixture
async def market(engines: Stack, shard: Shard) -> Market:
    return Market(shard, engines.endpoints.kafka_bootstrap)


@contextlib.asynccontextmanager
async def relaying(relay: Relay) -> AsyncIterator[Relay]:
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        relay.stop()
        await asyncio.wait([task], timeout=10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            is_so = condition()
            if await is_so if asyncio.iscoroutine(is_so) else is_so:
                return
            await asyncio.sleep(0.02)


async def work(market: Market, payments: int = PAYMENTS) -> None:
    """Let a lane write a journal: every kind of thing first, then payments one after the other."""
    async with running(PostgresLaneStore(market.shard.lane_url, "s1")) as lane:
        caller = Caller(lane)
        content = await fill(caller)
        for _ in range(payments):
            await caller.ask(authorize(content.payer, content.merchant, 1))


async def test_a_journal_is_published_whole_and_in_order(market: Market) -> None:
    await work(market)

    async with relaying(market.relay()):
        await until(market.told_up_to_its_end)

    assert await market.agree() == 0


async def test_what_is_written_meanwhile_follows(market: Market) -> None:
    async with relaying(market.relay()):
        await work(market)
        await until(market.told_up_to_its_end)

    assert await market.agree() == 0


async def test_a_relay_that_died_is_followed_by_one_that_repeats_a_little(market: Market) -> None:
    async def run(relay: Relay) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(relay.run(), 0.15)

    working = asyncio.create_task(work(market))
    while not working.done():
        await run(market.relay())
    await working
    async with relaying(market.relay()):
        await until(market.told_up_to_its_end)

    await market.agree()


async def test_of_two_relays_one_publishes(market: Market) -> None:
    one, other = market.relay(), market.relay()
    async with relaying(one), relaying(other):
        await work(market)
        await until(market.told_up_to_its_end)

    assert await market.agree() == 0


async def test_a_relay_that_lost_the_shard_stores_no_position(market: Market) -> None:
    await work(market, 1)
    source = JournalSource(market.shard.owner_url, "s1")
    await source.open("first")
    await market.fetch("UPDATE relays SET epoch = epoch + 1 RETURNING epoch")

    with pytest.raises(Away, match="taken the shard over"):
        await source.store(1)

    assert await market.fetch("SELECT position FROM relays") == 0
    await source.close()


async def test_a_relay_whose_shard_is_taken_over_ends_its_session(market: Market) -> None:
    await work(market, 1)
    relay = market.relay()
    async with relaying(relay):
        await until(market.told_up_to_its_end)
        await market.fetch("UPDATE relays SET epoch = epoch + 1 RETURNING epoch")

        await until(lambda: "taken the shard over" in relay.trouble)


async def test_an_owner_that_is_silent_is_ended(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    await work(market, 1)
    silent = JournalSource(market.shard.owner_url, "s1")
    await silent.open("silent")
    with pytest.raises(Away, match="another relay"):
        await JournalSource(market.shard.owner_url, "s1").open("hasty")
    monkeypatch.setattr(journal_source, "SILENT_SECONDS_MAX", 0.1)
    await asyncio.sleep(0.2)

    async with relaying(market.relay()):
        await until(market.told_up_to_its_end)

    with pytest.raises(Away):
        await silent.store(1)
    await silent.close()


async def test_a_history_that_was_rolled_back_is_not_told_as_if_nothing_were(
    market: Market,
) -> None:
    await work(market, 1)
    async with relaying(market.relay()) as relay:
        await until(market.told_up_to_its_end)
    await market.fetch("UPDATE relays SET position = 1000000 RETURNING position")

    relay = market.relay()
    async with relaying(relay):
        await until(lambda: "rolled back" in relay.trouble)


class Broken:
    """A publisher that fails once some rows are acknowledged, as if its broker forgot it."""

    def __init__(self, inner: KafkaPublisher, rows: int) -> None:
        self._inner = inner
        self._fails_at = inner.acknowledged + rows

    @property
    def acknowledged(self) -> int:
        return self._inner.acknowledged

    @property
    def outstanding(self) -> int:
        return self._inner.outstanding

    def publish(self, seq: int, told: Sequence[Message]) -> None:
        self._inner.publish(seq, told)

    def poll(self) -> None:
        self._inner.poll()
        if self._inner.acknowledged >= self._fails_at:
            raise Away("told to fail")

    def close(self) -> None:
        self._inner.close()


async def test_a_producer_that_fails_is_replaced_until_all_is_told(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.relay.BACKOFF_SECONDS_MAX", 0.1)
    monkeypatch.setattr("processor.relay.BACKOFF_SECONDS_MIN", 0.1)
    await work(market)
    relay = market.relay(lambda position: Broken(market.publisher(position), 20))

    async with relaying(relay):
        await until(lambda: relay.trouble == "told to fail")
        await until(market.told_up_to_its_end)

    await market.agree()


async def test_what_is_outstanding_is_bounded(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.relay.OUTSTANDING_MAX", 50)
    await work(market)
    most = 0

    class Watched(KafkaPublisher):
        def publish(self, seq: int, told: Sequence[Message]) -> None:
            nonlocal most
            super().publish(seq, told)
            most = max(most, self.outstanding)

    def watched(position: int) -> Watched:
        return Watched({"bootstrap.servers": market.bootstrap}, market.prefix, position)

    async with relaying(market.relay(watched)):
        await until(market.told_up_to_its_end)

    assert most < 150
    assert await market.agree() == 0
