"""The loop: one effect per event whatever happens, in order, and nothing stands still for ever."""

import asyncio
import random
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client import REGISTRY

from processor.consumers.delivery import Partition
from processor.consumers.letters import Letter
from processor.consumers.loop import Consumer
from processor.consumers.ports import DependencyDown
from storage.postgres.inbox import PostgresInbox
from tender.v1 import event_pb2
from tests.cache.proxy import Proxy
from tests.consumers.conftest import QUICK, Office, eventually, running
from tests.consumers.events import READ, Bookkeeper, Connection, event, sent
from tests.consumers.memory import MemoryBroker
from tests.databases import with_place


def consumer_of(
    broker: MemoryBroker, office: Office, handler: Bookkeeper, **limits: Any
) -> Consumer[event_pb2.Event, Connection]:
    return Consumer(
        handler,
        broker.open,
        PostgresInbox(office.url, handler.name),
        broker,
        READ,
        limits=replace(QUICK, **limits),
        fraction=lambda: 0.1,
    )


def end_of(broker: MemoryBroker, partition: int = 0) -> bool:
    """Whether all of a partition is committed."""
    name = Partition("payments", partition)
    return broker.committed.get(name, 0) == len(broker.logs[name])


def causes(letters: Sequence[Letter]) -> list[str]:
    return [letter.cause for letter in letters]


def counted(consumer: str, outcome: str) -> float:
    labels = {"consumer": consumer, "topic": "payments", "outcome": outcome}
    return REGISTRY.get_sample_value("tender_consumer_events_total", labels) or 0.0


async def test_every_event_has_its_effect_in_order(office: Office) -> None:
    broker = MemoryBroker()
    for number in range(1, 41):
        broker.publish(sent(event(number)))

    async with running(consumer_of(broker, office, Bookkeeper(), portion_max=7)):
        await eventually(lambda: end_of(broker), "end")

    assert await office.versions("pay_1") == list(range(1, 41))
    assert broker.letters == []


async def test_repeated_deliveries_have_one_effect(office: Office) -> None:
    seed = random.randrange(1_000_000)
    shuffle = random.Random(seed)
    broker = MemoryBroker(partitions=4)
    told = [event(n, entity=f"pay_{n % 4}") for n in range(1, 101)]
    for one in told:
        # Each up to five times; the first time in order, as a relay does it.
        for _ in range(shuffle.randint(1, 5)):
            broker.publish(sent(one), one.seq % 4)
        repeated = told[shuffle.randrange(one.seq)]
        broker.publish(sent(repeated), repeated.seq % 4)
    handled = counted("repeater", "handled")

    async with running(consumer_of(broker, office, Bookkeeper("repeater"), portion_max=9)):
        await eventually(lambda: all(end_of(broker, one) for one in range(4)), "end")

    for number in range(4):
        mine = [one.seq for one in told if one.seq % 4 == number]
        assert await office.versions(f"pay_{number}") == mine, f"seed {seed}"
    assert counted("repeater", "handled") - handled == 100


async def test_junk_is_parked_and_what_follows_goes_on(office: Office) -> None:
    broker = MemoryBroker()
    partition = Partition("payments", 0)
    broker.publish(sent(event(1)))
    broker.append(partition, b"k", b"\xff\xffjunk", [("trace", b"t1"), ("empty", None)])
    broker.append(partition, None, None, [])
    broker.publish(sent(event(2, schema_version=9)))
    broker.publish(sent(event(3, type="payment_from_the_future")))
    broker.publish(sent(event(4)))

    async with running(consumer_of(broker, office, Bookkeeper())):
        await eventually(lambda: end_of(broker), "end")

    assert await office.versions("pay_1") == [1, 4]
    assert causes(broker.letters) == [
        "MALFORMED",
        "MALFORMED",
        "UNKNOWN_VERSION",
        "UNKNOWN_TYPE",
    ]
    first = broker.letters[0]
    assert first.delivery == broker.logs[partition][1]
    assert (first.consumer, first.attempts, first.id) == (
        "bookkeeper",
        1,
        "bookkeeper/payments/0/1",
    )


async def test_nothing_but_junk_is_no_stall(office: Office) -> None:
    broker = MemoryBroker()
    for _ in range(1_200):
        broker.append(Partition("payments", 0), None, b"junk", [])

    async with running(consumer_of(broker, office, Bookkeeper(), portion_max=500)):
        await eventually(lambda: end_of(broker), "end")

    assert len(broker.letters) == 1_200


async def test_a_mistake_in_the_handler_parks_its_event_alone(office: Office) -> None:
    broker = MemoryBroker()
    for number in range(1, 101):
        broker.publish(sent(event(number)))
    bugs = frozenset({"s1.abc.40.0", "s1.abc.77.0"})
    handler = Bookkeeper(bugs=bugs)

    async with running(consumer_of(broker, office, handler)):
        await eventually(lambda: end_of(broker), "end")

    assert await office.versions("pay_1") == [n for n in range(1, 101) if n not in (40, 77)]
    assert causes(broker.letters) == ["HANDLER_ERROR", "HANDLER_ERROR"]
    assert [letter.attempts for letter in broker.letters] == [3, 3]
    assert all(letter.text.startswith("LookupError, logged as") for letter in broker.letters)
    # Two are found among a hundred by halves, and not by trying each.
    assert handler.calls < 60


async def test_what_the_database_refuses_is_parked_with_the_constraint(office: Office) -> None:
    broker = MemoryBroker()
    for number in (6665, 6666, 6667):
        broker.publish(sent(event(number)))

    async with running(consumer_of(broker, office, Bookkeeper())):
        await eventually(lambda: end_of(broker), "end")

    assert await office.versions("pay_1") == [6665, 6667]
    assert causes(broker.letters) == ["DATA_REJECTED"]
    assert "effects_version_is_no_poison" in broker.letters[0].text


async def test_what_the_handler_refuses_is_parked_at_once_with_its_cause(office: Office) -> None:
    broker = MemoryBroker()
    for number in (1, 2, 3):
        broker.publish(sent(event(number)))
    handler = Bookkeeper(refused=["s1.abc.2.0"])

    async with running(consumer_of(broker, office, handler)):
        await eventually(lambda: end_of(broker), "end")

    [letter] = broker.letters
    assert (letter.cause, letter.text, letter.attempts) == (
        "TEMPLATE_MISSING",
        "there is no template for it",
        1,
    )
    assert await office.versions("pay_1") == [1, 3]


async def test_a_parked_event_has_its_effect_when_it_is_replayed(office: Office) -> None:
    broker = MemoryBroker()
    broker.publish(sent(event(1)))
    handler = Bookkeeper(refused=["s1.abc.1.0"])
    async with running(consumer_of(broker, office, handler)):
        await eventually(lambda: end_of(broker), "end")
        handler.refused = ()
        broker.publish(sent(event(1)))
        broker.publish(sent(event(1)))
        await eventually(lambda: end_of(broker), "end")

    assert await office.versions("pay_1") == [1]


async def test_a_partition_whose_letter_is_not_stored_stands_still_and_others_go_on(
    office: Office,
) -> None:
    broker = MemoryBroker(partitions=2)
    broker.parking_problem = "topic payments.dlq: UNKNOWN_TOPIC_OR_PART"
    broker.append(Partition("payments", 0), None, b"junk", [])
    broker.publish(sent(event(1, entity="pay_behind")), 0)
    broker.publish(sent(event(2, entity="pay_beside")), 1)
    consumer = consumer_of(broker, office, Bookkeeper())

    async with running(consumer):
        await eventually(lambda: end_of(broker, 1), "end of the other")
        await eventually(lambda: "payments.dlq" in consumer.problem, "problem")
        before = (dict(broker.committed), await office.versions("pay_behind"))
        broker.parking_problem = ""
        await eventually(lambda: end_of(broker, 0), "end")
        await eventually(lambda: consumer.problem == "", "end of the problem")

    assert before == ({Partition("payments", 1): 1}, [])
    assert await office.versions("pay_behind") == [1]
    assert causes(broker.letters) == ["MALFORMED"]


async def test_while_the_database_is_away_nothing_is_read_and_nothing_parked(
    office: Office,
) -> None:
    broker = MemoryBroker()
    broker.publish(sent(event(1)))
    host, port = host_and_port(office.url)
    async with Proxy(host, port) as proxy:
        behind = Office(with_place(office.url, proxy.place))
        consumer = consumer_of(broker, behind, Bookkeeper())
        async with running(consumer):
            await eventually(lambda: end_of(broker), "end of the first")
            place = proxy.place
            await proxy.__aexit__()
            broker.publish(sent(event(2)))
            broker.publish(sent(event(3)))
            await eventually(lambda: "the database" in consumer.problem, "problem")
            seen = len(broker.polls)
            await eventually(lambda: len(broker.polls) > seen + 5, "polls")
            await eventually(lambda: broker.polls[-1] == {Partition("payments", 0)}, "pause")
            async with Proxy(host, port, listen=place):
                await eventually(lambda: end_of(broker), "end")
                await eventually(lambda: consumer.problem == "", "end of the problem")

    assert await office.versions("pay_1") == [1, 2, 3]
    assert broker.letters == []


async def test_partitions_that_are_taken_away_are_dropped_and_none_of_them_is_committed(
    office: Office,
) -> None:
    broker = MemoryBroker(partitions=2)
    handler = Bookkeeper(bugs=frozenset({"s1.abc.2.0"}))
    broker.parking_problem = "away"  # So that it stays in hand.
    for number in (1, 2, 3):
        broker.publish(sent(event(number, entity="pay_0")), 0)
    consumer = consumer_of(broker, office, handler)

    async with running(consumer):
        await eventually(lambda: broker.committed.get(Partition("payments", 0)) == 1, "the first")
        broker.to_take_away.add(Partition("payments", 0))
        await eventually(lambda: not broker.to_take_away, "rebalance")
        handler.bugs = frozenset()
        await eventually(lambda: end_of(broker, 0), "end")

    assert await office.versions("pay_0") == [1, 2, 3]
    assert broker.letters == []


async def test_a_source_that_is_lost_is_opened_anew(office: Office) -> None:
    broker = MemoryBroker()
    broker.publish(sent(event(1)))

    async with running(consumer_of(broker, office, Bookkeeper())):
        await eventually(lambda: end_of(broker), "end of the first")
        broker.is_lost = True
        broker.publish(sent(event(2)))
        await eventually(lambda: end_of(broker), "end")

    assert broker.opened == 2
    assert await office.versions("pay_1") == [1, 2]


async def test_a_stop_leaves_nothing_half_done(office: Office) -> None:
    broker = MemoryBroker()
    for number in range(1, 200):
        broker.publish(sent(event(number)))
    first = consumer_of(broker, office, Bookkeeper(), portion_max=10)
    async with running(first):
        await eventually(lambda: bool(broker.committed), "a portion")
    done = await office.versions("pay_1")

    async with running(consumer_of(broker, office, Bookkeeper())):
        await eventually(lambda: end_of(broker), "end")

    assert len(done) > 0
    assert broker.opened == 2
    assert await office.versions("pay_1") == list(range(1, 200))


async def test_a_handler_that_hangs_is_ended_and_its_event_parked(office: Office) -> None:
    class Hangs(Bookkeeper):
        async def handle(
            self, messages: Sequence[event_pb2.Event], transaction: Connection
        ) -> None:
            if any(message.version == 2 for message in messages):
                await asyncio.sleep(3_600)
            await super().handle(messages, transaction)

    broker = MemoryBroker()
    for number in (1, 2, 3):
        broker.publish(sent(event(number)))

    async with running(consumer_of(broker, office, Hangs(), attempt_seconds_max=0.2)):
        await eventually(lambda: end_of(broker), "end")

    assert causes(broker.letters) == ["RETRIES_EXHAUSTED"]
    assert await office.versions("pay_1") == [1, 3]


async def test_a_dependency_of_the_handler_that_is_down_is_waited_for(office: Office) -> None:
    class Needy(Bookkeeper):
        is_down = True

        async def handle(
            self, messages: Sequence[event_pb2.Event], transaction: Connection
        ) -> None:
            if self.is_down:
                raise DependencyDown("the rates are not there yet")
            await super().handle(messages, transaction)

    broker, handler = MemoryBroker(), Needy()
    broker.publish(sent(event(1)))
    consumer = consumer_of(broker, office, handler)

    async with running(consumer):
        await eventually(lambda: "the rates" in consumer.problem, "problem")
        handler.is_down = False
        await eventually(lambda: end_of(broker), "end")

    assert await office.versions("pay_1") == [1]
    assert broker.letters == []


async def test_what_is_in_hand_is_bounded(office: Office) -> None:
    broker = MemoryBroker()
    broker.parking_problem = "away"
    for _ in range(100):
        broker.append(Partition("payments", 0), None, b"junk", [])
    consumer = consumer_of(broker, office, Bookkeeper(), in_hand_max=30, portion_max=20)

    async with running(consumer):
        await eventually(lambda: "away" in consumer.problem, "problem")
        seen = len(broker.polls)
        await eventually(lambda: len(broker.polls) > seen + 20, "polls")
        held = len(consumer._hand)

    assert held <= 30


async def test_lag_and_age_are_shown(office: Office) -> None:
    broker = MemoryBroker()
    handler = Bookkeeper("measured")
    broker.publish(sent(event(1)))
    lag = {"consumer": "measured", "topic": "payments", "partition": "0"}
    newest = {"consumer": "measured", "topic": "payments"}

    async with running(consumer_of(broker, office, handler)):
        await eventually(lambda: end_of(broker), "end")
        shown = REGISTRY.get_sample_value("tender_consumer_lag", lag)
    after = REGISTRY.get_sample_value("tender_consumer_lag", lag)

    assert (shown, after) == (0, None)
    assert REGISTRY.get_sample_value(
        "tender_consumer_newest_event_timestamp_seconds", newest
    ) == pytest.approx(event(1).create_time.ToNanoseconds() / 1e9, abs=60)
    age = REGISTRY.get_sample_value(
        "tender_consumer_event_age_seconds_count", {"consumer": "measured"}
    )
    assert age == 1


async def test_old_ids_are_forgotten_while_it_runs(office: Office) -> None:
    broker = MemoryBroker()
    broker.publish(sent(event(1)))

    async def ids() -> Set[str]:
        return {row["event_id"] for row in await office.fetch("SELECT event_id FROM inbox")}

    async with running(consumer_of(broker, office, Bookkeeper(), forget_seconds=0.05)):
        await eventually(lambda: end_of(broker), "end")
        await office.fetch("UPDATE inbox SET handled_at = now() - interval '1 year'")

        async def is_forgotten() -> bool:
            return await ids() == set()

        await eventually(is_forgotten, "deletion")


def host_and_port(url: str) -> tuple[str, int]:
    """Return where a database is."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
