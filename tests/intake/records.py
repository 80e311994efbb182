"""Writes to the topic of commands as somebody else's producer would, and reads what is told."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from processor.consumers import letters
from storage.kafka.dead_letters import DeadLetters
from tender import operations
from tender.calls import Call
from tender.v1 import operation_pb2

TOPIC = "commands"
OUTCOMES = "command-outcomes"
WAIT_SECONDS_MAX = 60.0
POLL_SECONDS = 0.2
READING: Mapping[str, Any] = {
    "group.id": "copies",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "log_level": 0,
}


class Record(NamedTuple):
    """What is written."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


def direct(call: Call[Any], **headers: str) -> Record:
    """Return a command's record without a seal."""
    submitted: Any = operations.submit(call).request
    request: Any = call.request
    key = getattr(request, "payer_account_id", "") or request.payment_id
    told = [(name, text.encode()) for name, text in headers.items()]
    return Record(key.encode(), submitted.command.SerializeToString(), told)


def publish(bootstrap: str, records: Sequence[Record], topic: str = TOPIC) -> None:
    """Write records and wait until the broker has them."""
    failures: list[KafkaError] = []

    def told(error: KafkaError | None, _record: object) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer(
        {"bootstrap.servers": bootstrap, "log_level": 0, "partitioner": "murmur2_random"}
    )
    for key, value, headers in records:
        producer.produce(topic, value, key, on_delivery=told, headers=list(headers))
    assert producer.flush(WAIT_SECONDS_MAX) == 0
    assert failures == []


def read_outcomes(
    bootstrap: str, is_enough: Callable[[Mapping[str, list[bytes]]], bool]
) -> Mapping[str, list[bytes]]:
    """Return what was told, by operation, once it is enough."""
    group = uuid4().hex
    consumer = Consumer({**READING, "bootstrap.servers": bootstrap, "group.id": group})
    found: dict[str, list[bytes]] = {}
    with contextlib.closing(consumer):
        consumer.subscribe([OUTCOMES])
        stop_by = time.monotonic() + WAIT_SECONDS_MAX
        while not is_enough(found):
            assert time.monotonic() < stop_by, f"only {len(found)} operations were told"
            record = consumer.poll(POLL_SECONDS)
            if record is not None and record.error() is None:
                key = record.key()
                assert isinstance(key, bytes)
                found.setdefault(key.decode(), []).append(record.value() or b"")
    return found


def by_request(told: Mapping[str, list[bytes]]) -> dict[str, list[operation_pb2.CommandOutcome]]:
    """Return outcomes by their request_id."""
    found: dict[str, list[operation_pb2.CommandOutcome]] = {}
    for values in told.values():
        for value in values:
            outcome = operation_pb2.CommandOutcome.FromString(value)
            found.setdefault(outcome.outcome.request_id, []).append(outcome)
    return found


async def outcomes_of(
    bootstrap: str, request_ids: set[str]
) -> dict[str, list[operation_pb2.CommandOutcome]]:
    """Return what was told of some requests, once something was of each."""
    told = await asyncio.to_thread(
        read_outcomes, bootstrap, lambda found: request_ids <= by_request(found).keys()
    )
    return {name: each for name, each in by_request(told).items() if name in request_ids}


def parked(bootstrap: str, topic: str = TOPIC) -> list[letters.Letter]:
    """Return the dead letters of a topic, each once."""
    queue = DeadLetters({"bootstrap.servers": bootstrap})
    if topic not in queue.topics():
        return []
    return list(letters.outstanding(queue.read(topic)).values())


def sealed(bootstrap: str) -> list[Record]:
    """Return the records that SubmitPayment wrote."""
    found: list[Record] = []
    for record in _records(bootstrap):
        headers: Any = record.headers() or []
        key = record.key()
        assert isinstance(key, bytes)
        if any(name == "tender-seal" for name, _ in headers):
            found.append(Record(key, record.value() or b"", headers))
    return found


def _records(bootstrap: str) -> Iterator[Message]:
    """Yield what is in the topic of commands now."""
    with contextlib.closing(Consumer({**READING, "bootstrap.servers": bootstrap})) as consumer:
        described = consumer.list_topics(TOPIC, timeout=WAIT_SECONDS_MAX).topics[TOPIC]
        for number in described.partitions:
            place = TopicPartition(TOPIC, number)
            first, end = consumer.get_watermark_offsets(place, timeout=WAIT_SECONDS_MAX)
            consumer.assign([TopicPartition(TOPIC, number, first)])
            while first < end:
                record = consumer.poll(POLL_SECONDS)
                if record is not None and record.error() is None:
                    first = (record.offset() or 0) + 1
                    yield record
