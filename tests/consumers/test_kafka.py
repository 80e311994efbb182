"""The chassis on a broker: groups, commits, rebalances, pauses, and dead letters."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kit import topics
from processor.consumers import letters
from processor.consumers.delivery import Delivery, Partition
from processor.consumers.letters import Letter, Mark
from processor.consumers.loop import Consumer
from storage.kafka.consumer import KafkaSource, opener
from storage.kafka.dead_letters import DeadLetters
from storage.kafka.parking import MESSAGE_BYTES_MAX, TIMEOUT_MS, KafkaParking
from storage.postgres.inbox import PostgresInbox
from tender.v1 import event_pb2
from tests.consumers.conftest import PARTITIONS, QUICK, Office, eventually, publish, running
from tests.consumers.events import READ, Bookkeeper, Connection, Sent, event, sent
from tests.consumers.member import QUICKLY
from tests.kafka import brokers

ENTITIES = 12
IMPATIENT_MS = 3_000
NOBODY: frozenset[Partition] = frozenset()


def member_of(bootstrap: str, topic: str) -> KafkaSource:
    """Return a member of the topic's group, to be started."""
    brokers = {"bootstrap.servers": bootstrap, **QUICKLY}
    return KafkaSource(brokers, f"group-{topic}", [topic])


class Members:
    """Consumers of one group, with their sources to look at."""

    def __init__(self, bootstrap: str, topic: str, office: Office) -> None:
        self._bootstrap = bootstrap
        self._brokers = {"bootstrap.servers": bootstrap, **QUICKLY}
        self._topic = topic
        self._office = office
        self.sources: list[KafkaSource] = []

    def new(
        self, handler: Bookkeeper, *, parking_ms: int = TIMEOUT_MS
    ) -> Consumer[event_pb2.Event, Connection]:
        """Return a consumer to run, that waits so long for a letter to be parked."""
        open_source = opener(self._brokers, f"group-{self._topic}", [self._topic])
        return Consumer(
            handler,
            self._remembering(open_source),
            PostgresInbox(self._office.url, handler.name),
            KafkaParking({"bootstrap.servers": self._bootstrap}, timeout_ms=parking_ms),
            READ,
            limits=QUICK,
        )

    def _remembering(
        self, open_source: Callable[[], Awaitable[KafkaSource]]
    ) -> Callable[[], Awaitable[KafkaSource]]:
        async def remember() -> KafkaSource:
            source = await open_source()
            self.sources.append(source)
            return source

        return remember


@pytest.fixture
def members(bootstrap: str, topic: str, office: Office) -> Members:
    return Members(bootstrap, topic, office)


def told(first: int, last: int) -> list[event_pb2.Event]:
    return [event(n, entity=f"pay_{n % ENTITIES}") for n in range(first, last + 1)]


async def has_all(office: Office, last: int) -> bool:
    return len(set(await office.effects())) == last


async def require_once_and_in_order(office: Office, last: int) -> None:
    ids = [f"s1.abc.{number}.0" for number in range(1, last + 1)]
    assert sorted(await office.effects()) == sorted(ids)
    for number in range(ENTITIES):
        versions = await office.versions(f"pay_{number}")
        assert versions == sorted(versions)


async def test_what_is_published_is_handled_once_and_in_order(
    members: Members, bootstrap: str, topic: str, office: Office
) -> None:
    publish(bootstrap, topic, [sent(one) for one in told(1, 500)])

    async with running(members.new(Bookkeeper())):
        await eventually(lambda: has_all(office, 500), "effect of each")

    await require_once_and_in_order(office, 500)


async def test_the_next_member_begins_where_the_last_one_ended(
    members: Members, bootstrap: str, topic: str, office: Office
) -> None:
    publish(bootstrap, topic, [sent(one) for one in told(1, 100)])
    async with running(members.new(Bookkeeper())):
        await eventually(lambda: has_all(office, 100), "effect of each")
    # Without an inbox that knows them: only the offsets say what is new.
    await office.fetch("TRUNCATE inbox")
    publish(bootstrap, topic, [sent(one) for one in told(101, 120)])

    async with running(members.new(Bookkeeper())):
        await eventually(lambda: has_all(office, 120), "effect of each")

    await require_once_and_in_order(office, 120)


async def test_members_that_come_and_go_share_the_partitions_and_double_nothing(
    members: Members, bootstrap: str, topic: str, office: Office
) -> None:
    publish(bootstrap, topic, [sent(one) for one in told(1, 200)])

    async with running(members.new(Bookkeeper())):
        await eventually(lambda: has_all(office, 200), "effect of each by the first")
        async with running(members.new(Bookkeeper())):
            for last in range(300, 700, 100):
                publish(bootstrap, topic, [sent(one) for one in told(last - 99, last)])
                await asyncio.sleep(0.2)
            await eventually(
                lambda: all(one.owned for one in members.sources), "partition for each"
            )
            publish(bootstrap, topic, [sent(one) for one in told(601, 700)])
            await eventually(lambda: has_all(office, 700), "effect of each by both")
            first, second = (source.owned for source in members.sources)
        publish(bootstrap, topic, [sent(one) for one in told(701, 800)])
        await eventually(lambda: has_all(office, 800), "effect of each by the one left")

    assert not first & second
    await require_once_and_in_order(office, 800)


async def test_a_paused_partition_delivers_nothing_and_goes_on_where_it_was(
    bootstrap: str, topic: str
) -> None:
    publish(bootstrap, topic, [sent(event(n)) for n in (1, 2)], partition=0)
    source = member_of(bootstrap, topic)
    await source.start()
    paused = frozenset({Partition(topic, 0)})
    try:
        found = await polled(source, 2)
        await source.poll(10, 0.0, paused)
        publish(bootstrap, topic, [sent(event(n)) for n in (3, 4)], partition=0)
        publish(bootstrap, topic, [sent(event(5))], partition=1)
        beside = await polled(source, 1, paused)
        for _ in range(3):
            assert (await source.poll(10, 0.1, paused)).deliveries == []
        found += await polled(source, 2)
    finally:
        await source.close()

    assert [one.offset for one in found] == [0, 1, 2, 3]
    assert [one.partition.number for one in beside] == [1]


async def test_what_is_not_finished_is_delivered_again(bootstrap: str, topic: str) -> None:
    publish(bootstrap, topic, [sent(event(n)) for n in range(1, 6)], partition=0)
    first = member_of(bootstrap, topic)
    await first.start()
    await polled(first, 5)
    first.finish({Partition(topic, 0): 2})
    await first.close()

    second = member_of(bootstrap, topic)
    await second.start()
    try:
        again = await polled(second, 3)
    finally:
        await second.close()

    assert [one.offset for one in again] == [2, 3, 4]


async def test_headers_key_and_value_come_as_they_were_sent(bootstrap: str, topic: str) -> None:
    key, value, headers = sent(event(1))
    publish(bootstrap, topic, [(key, value, [*headers, ("empty", None)])])  # type: ignore[list-item]
    source = member_of(bootstrap, topic)
    await source.start()
    try:
        [found] = await polled(source, 1)
    finally:
        await source.close()

    assert (found.key, found.value) == (key, value)
    assert list(found.headers) == [*headers, ("empty", None)]
    assert found.timestamp > 1_600_000_000


async def test_a_broker_that_is_away_is_a_problem_and_no_end(office: Office) -> None:
    nowhere = Members("127.0.0.1:1", "payments", office)
    consumer = nowhere.new(Bookkeeper())

    async with running(consumer):
        await eventually(lambda: "broker: _ALL_BROKERS_DOWN" in consumer.problem, "problem")


async def test_a_broker_that_is_killed_and_comes_back_is_found_again(
    own_kafka: brokers.ApacheKafka, office: Office
) -> None:
    members = Members(own_kafka.bootstrap, "payments", office)
    publish(own_kafka.bootstrap, "payments", [sent(one) for one in told(1, 50)])
    consumer = members.new(Bookkeeper())

    async with running(consumer):
        await eventually(lambda: has_all(office, 50), "effect of each before")
        own_kafka.kill()
        await eventually(lambda: "broker" in consumer.problem, "problem")
        await asyncio.to_thread(own_kafka.start)
        publish(own_kafka.bootstrap, "payments", [sent(one) for one in told(41, 100)])
        await eventually(lambda: has_all(office, 100), "effect of each after")
        await eventually(lambda: consumer.problem == "", "end of the problem")

    await require_once_and_in_order(office, 100)


async def test_a_missing_dead_letter_topic_holds_its_partition_alone_until_it_is_there(
    durable_kafka: brokers.Broker, topic_prefix: str, office: Office
) -> None:
    topic = f"{topic_prefix}payments"
    durable_kafka.make_topics(topic, partitions=PARTITIONS)
    bootstrap = durable_kafka.bootstrap
    consumer = Members(bootstrap, topic, office).new(Bookkeeper(), parking_ms=IMPATIENT_MS)
    publish(bootstrap, topic, [Sent(b"k", b"junk", []), sent(event(1))], partition=0)
    publish(bootstrap, topic, [sent(event(2, entity="pay_2"))], partition=1)

    async with running(consumer):
        await eventually(lambda: f"topic {topic}.dlq: UNKNOWN_TOPIC" in consumer.problem, "word")
        await eventually(lambda: has_all(office, 1), "effect in the other partition")
        before = await office.effects()
        durable_kafka.make_topics(topics.dead_letters(topic), partitions=1)
        await eventually(lambda: has_all(office, 2), "effect of what stood behind")
        await eventually(lambda: consumer.problem == "", "end of the problem")
    found = letters.outstanding(DeadLetters({"bootstrap.servers": bootstrap}).read(topic))

    assert before == ["s1.abc.2.0"]
    assert [letter.cause for letter in found.values()] == ["MALFORMED"]


async def polled(
    source: KafkaSource, count: int, paused: frozenset[Partition] = NOBODY
) -> list[Delivery]:
    """Poll until there are so many deliveries."""
    found: list[Delivery] = []

    async def has_come() -> bool:
        found.extend((await source.poll(10, 0.1, paused)).deliveries)
        return len(found) >= count

    await eventually(has_come, f"{count} deliveries")
    assert len(found) == count
    return found


def letter(
    topic: str, *, offset: int = 7, value: bytes | None = b"\xff", at: float = 100.0
) -> Letter:
    headers = [("trace", b"t1"), ("empty", None)]
    delivery = Delivery(Partition(topic, 1), offset, b"pay_1", value, headers, 0.0)
    return Letter("webhooks", "MALFORMED", "no event", 2, at, at, delivery)


async def test_letters_are_stored_and_found_as_they_were(bootstrap: str, topic: str) -> None:
    parking, queue = (
        KafkaParking({"bootstrap.servers": bootstrap}),
        DeadLetters({"bootstrap.servers": bootstrap}),
    )
    sent_letters = [letter(topic), letter(topic, offset=8, value=None)]

    problems = await parking.park(sent_letters)
    await parking.close()
    found = sorted(queue.read(topic), key=lambda one: one.id)

    assert list(problems) == ["", ""]
    assert topic in queue.topics()
    assert [unstamped(one) for one in found] == sent_letters


def unstamped(found: Letter | Mark) -> Letter:
    """Leave out when it was written into the dead-letter topic."""
    assert isinstance(found, Letter)
    return found._replace(delivery=found.delivery._replace(timestamp=0.0))


async def test_a_letter_too_large_for_its_topic_is_kept_without_its_value(
    bootstrap: str, topic: str
) -> None:
    parking = KafkaParking({"bootstrap.servers": bootstrap})
    large = letter(topic, value=b"x" * (MESSAGE_BYTES_MAX + 1))

    problems = await parking.park([large, letter(topic, offset=8)])
    await parking.close()
    found = {one.id: one for one in DeadLetters({"bootstrap.servers": bootstrap}).read(topic)}

    assert list(problems) == ["", ""]
    kept = found[large.id]
    assert isinstance(kept, Letter)
    assert kept.without_value
    assert not kept.delivery.value


async def test_letters_that_no_broker_takes_are_told_each_with_its_topic(topic: str) -> None:
    parking = KafkaParking({"bootstrap.servers": "127.0.0.1:1"}, timeout_ms=500)

    problems = await parking.park([letter(topic), letter(topic, offset=8)])
    await parking.close()

    assert len(problems) == 2
    assert all(problem.startswith(f"topic {topic}.dlq: ") for problem in problems)


async def test_parking_goes_on_once_the_broker_is_back(own_kafka: brokers.ApacheKafka) -> None:
    parking = KafkaParking({"bootstrap.servers": own_kafka.bootstrap}, timeout_ms=IMPATIENT_MS)
    before = await parking.park([letter("payments")])
    own_kafka.kill()
    meanwhile = await parking.park([letter("payments", offset=8)])
    await asyncio.to_thread(own_kafka.start)

    async def is_parked() -> bool:
        return list(await parking.park([letter("payments", offset=9)])) == [""]

    await eventually(is_parked, "parking")
    await parking.close()
    found = DeadLetters({"bootstrap.servers": own_kafka.bootstrap}).read("payments")

    assert list(before) == [""]
    assert meanwhile[0]
    assert {"webhooks/payments/1/7", "webhooks/payments/1/9"} <= {one.id for one in found}


async def test_a_replay_is_the_record_that_it_was(bootstrap: str, topic: str) -> None:
    queue = DeadLetters({"bootstrap.servers": bootstrap})
    wanted = letter(topic, value=b"of before")

    queue.replay([wanted])
    queue.mark([wanted], letters.REPLAYED, "ada@till", "")
    source = member_of(bootstrap, topic)
    await source.start()
    try:
        [found] = await polled(source, 1)
    finally:
        await source.close()
    [mark] = queue.read(topic)

    assert found._replace(offset=7, timestamp=0.0) == wanted.delivery
    assert isinstance(mark, Mark)
    assert (mark.id, mark.decision, mark.by) == (wanted.id, "replayed", "ada@till")
