"""Writes to topics and reads them, with a bound on every wait."""

import contextlib
import time
from collections.abc import Iterable
from typing import Any, Final
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

WAIT_SECONDS_MAX: Final = 60.0
"""For a broker that starts on a busy machine among it."""

POLL_SECONDS: Final = 0.2
MESSAGE_TIMEOUT_MS: Final = 60_000


def producer(bootstrap: str, **settings: Any) -> Producer:
    """Return a producer as the relay has one: idempotent, acknowledged by all."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "message.timeout.ms": MESSAGE_TIMEOUT_MS,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
            **settings,
        }
    )


class Acknowledged:
    """What became of the messages of a producer."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.errors: list[KafkaError] = []

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.values.append(message.value() or b"")
        else:
            self.errors.append(error)


def send(to: Producer, topic: str, values: Iterable[bytes], key: bytes = b"k") -> Acknowledged:
    """Write messages of one key, and wait until each is acknowledged or is not."""
    told = Acknowledged()
    for value in values:
        to.produce(topic, value, key, on_delivery=told)
    assert to.flush(WAIT_SECONDS_MAX) == 0
    return told


def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """Return the first messages of a topic; all that are there, if they are fewer in a minute."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid4().hex,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    found: list[bytes] = []
    with contextlib.closing(consumer):
        consumer.subscribe([topic])
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while len(found) < count and time.monotonic() < deadline:
            message = consumer.poll(POLL_SECONDS)
            if message is not None and message.error() is None:
                found.append(message.value() or b"")
    return found


def count(bootstrap: str, topic: str) -> int:
    """Return how many messages the only partition of a topic has, control records among them."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "count", "log_level": 0})
    with contextlib.closing(consumer):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), WAIT_SECONDS_MAX)
    return high - low
