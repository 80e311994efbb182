"""The SDK's consumer of events, on a broker."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tender import events
from tender.v1 import operation_pb2
from tests.consumers.conftest import publish
from tests.consumers.events import Sent, event, sent
from tests.kafka import brokers

WAIT_SECONDS_MAX = 60.0
PARTITIONS = 3
PAGE = Path(__file__).parent.parent.parent / "docs/events.md"
EXAMPLE = re.compile(
    r"^```python\n(from tender import events\n.*?)^```\n", re.MULTILINE | re.DOTALL
)
GROUP = "receipts"


@pytest.fixture
def bootstrap(kafka: brokers.Broker) -> str:
    return kafka.bootstrap


@pytest.fixture
def topic(kafka: brokers.Broker, topic_prefix: str) -> str:
    name = f"{topic_prefix}payments"
    kafka.make_topics(name, partitions=PARTITIONS)
    return name


def consumer(bootstrap: str, topic: str, **options: Any) -> events.Consumer:
    quickly = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 300, "log_level": 0}
    return events.Consumer(
        {"bootstrap.servers": bootstrap, **quickly},
        group=f"{GROUP}-{topic}",
        topics=[topic],
        **options,
    )


def take(heard: events.Consumer, count: int) -> Iterator[events.Told]:
    """Yield so many, each of which is done when the next one is asked for."""
    for told in heard:
        yield told
        heard.done(told)
        count -= 1
        if not count:
            return


def ids(told: Sequence[events.Told]) -> list[str]:
    return [each.id for each in told if isinstance(each, events.Event)]


def test_events_come_typed_and_in_the_order_of_their_key(bootstrap: str, topic: str) -> None:
    sent_ones = [event(n, entity=f"pay_{n % 5}") for n in range(1, 31)]
    publish(bootstrap, topic, [sent(each) for each in sent_ones])

    with consumer(bootstrap, topic) as heard:
        told = list(take(heard, 30))

    assert sorted(ids(told)) == sorted(each.id for each in sent_ones)
    for number in range(5):
        versions = [
            each.version
            for each in told
            if isinstance(each, events.Event) and each.entity_id == f"pay_{number}"
        ]
        assert versions == sorted(versions)
    assert {each.type for each in told if isinstance(each, events.Event)} == {"payment_captured"}


def test_what_was_not_done_comes_again_and_what_was_does_not(bootstrap: str, topic: str) -> None:
    publish(bootstrap, topic, [sent(event(n)) for n in range(1, 11)])

    with consumer(bootstrap, topic) as first:
        given = [told for _, told in zip(range(6), first, strict=False)]
        # The third is not: so the position stays before it.
        for told in (given[0], given[1], given[3], given[4]):
            first.done(told)
    with consumer(bootstrap, topic) as second:
        again = list(take(second, 8))

    assert ids(again) == [f"s1.abc.{n}.0" for n in range(3, 11)]


def test_repeats_are_left_out_by_id_and_by_version(bootstrap: str, topic: str) -> None:
    one, two, late, last = event(1), event(2), event(1), event(3)
    late.id = "s1.abd.9.0"
    publish(bootstrap, topic, [sent(each) for each in (one, two, one, late, two, last)])

    with consumer(bootstrap, topic) as heard:
        told = list(take(heard, 3))

    assert ids(told) == [one.id, two.id, last.id]


def test_what_cannot_be_read_is_given_out_and_others_follow(bootstrap: str, topic: str) -> None:
    newer = sent(event(2, schema_version=2))
    junk = Sent(b"pay_1", b"\xff\xff", sent(event(1)).headers)
    bare = Sent(b"pay_1", b"", [])
    lying = Sent(b"pay_1", sent(event(4)).value, sent(event(4, type="payment_voided")).headers)
    publish(bootstrap, topic, [newer, junk, bare, lying, sent(event(3))])

    with consumer(bootstrap, topic) as heard:
        told = list(take(heard, 5))

    unknown, *others = told
    assert isinstance(unknown, events.UnknownSchema)
    assert (unknown.schema_version, unknown.value) == ("2", newer.value)
    assert [type(each) for each in others] == [*[events.Malformed] * 3, events.Event]


def test_outcomes_of_commands_are_events_too(bootstrap: str, topic: str) -> None:
    outcome = operation_pb2.CommandOutcome(
        operation_id="op_1", schema_version=1, method="VoidPayment"
    )
    headers = [("event-type", b"command_outcome"), ("schema-version", b"1")]
    publish(bootstrap, topic, [Sent(b"op_1", outcome.SerializeToString(), headers)])

    with consumer(bootstrap, topic) as heard:
        [told] = take(heard, 1)

    assert isinstance(told, events.Event)
    assert (told.id, told.message.method) == ("op_1", "VoidPayment")


def test_who_takes_and_never_says_done_is_told(bootstrap: str, topic: str) -> None:
    publish(bootstrap, topic, [sent(event(n)) for n in range(1, 6)])

    with (
        consumer(bootstrap, topic, unfinished_max=3) as heard,
        pytest.raises(events.TooManyUnfinished),
    ):
        for _ in heard:
            pass


async def test_the_event_loop_goes_on_meanwhile(bootstrap: str, topic: str) -> None:
    publish(bootstrap, topic, [sent(event(n)) for n in range(1, 21)])
    found: list[events.Told] = []
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    turning = asyncio.create_task(turn())
    async with asyncio.timeout(WAIT_SECONDS_MAX), consumer(bootstrap, topic) as heard:
        async for told in heard:
            heard.done(told)
            found.append(told)
            if len(found) == 20:
                break
    turning.cancel()

    assert len(set(ids(found))) == 20
    assert turns > 1


def test_what_is_remembered_is_bounded() -> None:
    memory = events.Memory(size_max=2)
    places = [events.Place("payments", 0, n) for n in range(3)]
    told = [
        events.Event(place, f"id{n}", "t", 1, f"pay_{n}", 1, None, {})
        for n, place in enumerate(places)
    ]

    for each in told:
        memory.note(each)

    assert [memory.is_repeat(each) for each in told] == [False, True, True]


def test_without_the_client_of_kafka_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['confluent_kafka'] = None; import tender; import tender.events"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "pip install 'tender[events]'" in done.stderr


def test_the_example_of_the_page_runs(bootstrap: str, topic: str) -> None:
    [code] = EXAMPLE.findall(PAGE.read_text())
    publish(bootstrap, topic, [sent(event(1)), Sent(b"k", b"junk", []), sent(event(2))])
    # It reads for ever: the program ends with the third thing that it hears of.
    ends = (
        "        heard.done(event)\n        seen += 1\n        if seen == 3:\n            break\n"
    )
    program = f"BOOTSTRAP, TOPIC, seen = {bootstrap!r}, {topic!r}, 0\n" + code.replace(
        "        heard.done(event)\n", ends
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
    )

    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert sum(line == "receipt for pay_1" for line in lines) == 2
    assert sum(line.startswith("no event of Tender's:") for line in lines) == 1
