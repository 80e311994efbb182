"""What topics have, compared with what journals say: nothing missing, nothing out of order."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from processor.events.messages import PAYMENTS, told_of, topics
from processor.events.ports import Row
from tender.v1 import event_pb2

READ_SECONDS_MAX: Final = 180.0
CONSUME: Final = 5_000
JOURNAL_ROWS: Final = 500
_ROWS: Final = """
SELECT seq, incarnation, body, (extract(epoch FROM created_at) * 1000000)::bigint AS created_at
  FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2
"""

Told = dict[bytes, list[str]]
"""Ids of events by key, in order."""


@dataclass
class Said:
    """What the journals say."""

    by_topic: dict[str, Told]
    of_merchant: list[event_pb2.Event] = field(default_factory=list)
    """The events of one merchant's payments; those of a payment are in order."""


@dataclass
class Heard:
    """What one topic has."""

    first: Told = field(default_factory=dict)
    """Each id once, where it came first."""
    repeats: int = 0
    foreign: int = 0
    """Records without an id: what a test has put there itself."""


@dataclass
class Findings:
    """What came of an audit."""

    events: int = 0
    missing: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    repeats: int = 0


async def said_by(shards: Mapping[str, str], merchant_id: str) -> Said:
    """Return what the journals say; `shards` is each one's URL by name."""
    said = Said({topic: {} for topic in topics()})
    for shard, url in shards.items():
        connection = await asyncpg.connect(url)
        try:
            after = 0
            while rows := await connection.fetch(_ROWS, after, JOURNAL_ROWS):
                for row in rows:
                    one = Row(shard, row["incarnation"], row["seq"], row["body"], row["created_at"])
                    for topic, key, value, headers in told_of(one).messages:
                        ids = said.by_topic[topic].setdefault(key.encode(), [])
                        ids.append(_id(headers))
                        if topic == PAYMENTS:
                            said.of_merchant += _of_merchant(value, merchant_id)
                after = rows[-1]["seq"]
        finally:
            await connection.close()
    return said


def _of_merchant(value: bytes, merchant_id: str) -> list[event_pb2.Event]:
    """Return the event, read, if it is of a payment to the merchant."""
    if merchant_id.encode() not in value:
        return []
    event = event_pb2.Event.FromString(value)
    return [event] if event.payment.payment.merchant_id == merchant_id else []


def heard_in(bootstrap: str, topic: str) -> Heard:
    """Read a topic from its beginning to its end of now."""
    heard, seen = Heard(), set[str]()
    for key, event_id in _records(bootstrap, topic):
        if not event_id:
            heard.foreign += 1
        elif event_id in seen:
            heard.repeats += 1
        else:
            seen.add(event_id)
            heard.first.setdefault(key, []).append(event_id)
    return heard


def _records(bootstrap: str, topic: str) -> Iterator[tuple[bytes, str]]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "auditor",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 10,
        }
    )
    try:
        found = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in found])
        left, stop_by = set(found), time.monotonic() + READ_SECONDS_MAX
        while left:
            assert time.monotonic() < stop_by, f"{topic} was not read in {READ_SECONDS_MAX:g} s"
            for message in consumer.consume(CONSUME, 1.0):
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    left.discard(message.partition())
                    continue
                yield message.key() or b"", _id(_headers(message))
    finally:
        consumer.close()


def _headers(message: Message) -> Sequence[tuple[str, str | bytes | None]]:
    found = message.headers() or []
    return list(found.items()) if isinstance(found, dict) else found


def _id(headers: Sequence[tuple[str, str | bytes | None]]) -> str:
    for name, value in headers:
        if name == "event-id" and value is not None:
            return value.decode() if isinstance(value, bytes) else value
    return ""


def compare(said: Mapping[str, Told], heard: Mapping[str, Heard]) -> Findings:
    """Say what a topic lacks, has in another order, or has and nobody committed."""
    found = Findings()
    for topic, keys in said.items():
        there = heard[topic]
        found.repeats += there.repeats
        for key in keys.keys() | there.first.keys():
            wanted, got = keys.get(key, []), there.first.get(key, [])
            found.events += len(wanted)
            if wanted == got:
                continue
            missing, invented = set(wanted) - set(got), set(got) - set(wanted)
            found.missing += sorted(missing)
            found.invented += sorted(invented)
            if [one for one in wanted if one not in missing] != [
                one for one in got if one not in invented
            ]:
                found.reordered.append(f"{topic} {key.decode(errors='replace')}")
    return found
