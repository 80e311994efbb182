"""Reads dead-letter topics, puts letters back where they came from, and notes what was decided.

For a command, not for a server: its calls wait.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka import Message as Record

from kit import topics
from processor.consumers import letters
from processor.consumers.letters import Letter, Mark, QueueAway
from storage.kafka.member import delivery_of, said

ANSWER_SECONDS_MAX: Final = 10.0
"""Without any progress; a topic of any length may take longer altogether."""
POLL_SECONDS: Final = 0.5
RECORDS_PER_POLL: Final = 500

READ_SETTINGS: Final[Mapping[str, object]] = {
    # The library wants one to read anything; nothing joins it, and nothing is committed.
    "group.id": "tender-dlq",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "socket.timeout.ms": int(ANSWER_SECONDS_MAX * 1_000),
    "log_level": 0,
}
WRITE_SETTINGS: Final[Mapping[str, object]] = {
    "acks": "all",
    "enable.idempotence": True,
    "message.timeout.ms": int(ANSWER_SECONDS_MAX * 1_000),
    "message.max.bytes": 2_000_000,
    "socket.timeout.ms": int(ANSWER_SECONDS_MAX * 1_000),
    "compression.type": "lz4",
    "linger.ms": 5,
    "log_level": 0,
}


class DeadLetters:
    """The dead-letter topics of one cluster."""

    def __init__(self, configuration: Mapping[str, Any], prefix: str = "") -> None:
        """`configuration` is how to reach the brokers; only topics with the prefix are ours."""
        self._configuration = dict(configuration)
        self._prefix = prefix
        self._producer: Producer | None = None

    def topics(self) -> Sequence[str]:
        """Return the topics whose letters are here, by their whole names. Raises QueueAway."""
        with _explained(), _reading(self._configuration) as consumer:
            known = consumer.list_topics(timeout=ANSWER_SECONDS_MAX).topics
        found = (name.removesuffix(topics.DEAD_LETTERS_SUFFIX) for name in known if _is_dead(name))
        return sorted(name for name in found if name.startswith(self._prefix))

    def read(self, topic: str) -> Iterator[Letter | Mark]:
        """Yield all that is in the dead-letter topic of a topic, as of now. Raises QueueAway."""
        name = topics.dead_letters(topic)
        with _explained(name), _reading(self._configuration) as consumer:
            for record in _records(consumer, name):
                found = letters.parse(delivery_of(record))
                if found is not None:
                    yield found

    def replay(self, chosen: Sequence[Letter]) -> None:
        """Put letters back with key, headers and value as they were, into their own partitions.

        Returns once the brokers have them all. Raises QueueAway; then any of them may be there,
        and repeating it is safe, for a repetition has no second effect.
        """
        self._write(
            (
                letter.delivery.partition.topic,
                letter.delivery.partition.number,
                letter.delivery.key,
                letter.delivery.value,
                list(letter.delivery.headers),
            )
            for letter in chosen
        )

    def mark(self, chosen: Sequence[Letter], decision: str, by: str, reason: str) -> None:
        """Note what was decided about letters: they are listed no more. Raises QueueAway."""
        now = time.time()
        self._write(
            (
                topics.dead_letters(letter.delivery.partition.topic),
                -1,
                letter.id.encode(),
                b"",
                list(letters.mark_headers(Mark(letter.id, decision, by, reason, now))),
            )
            for letter in chosen
        )

    def _write(
        self,
        records: Iterator[tuple[str, int, bytes | None, bytes | None, list[Any]]],
    ) -> None:
        failures: list[str] = []
        sent = 0

        def told(error: KafkaError | None, record: Record) -> None:
            nonlocal sent
            sent -= 1
            if error is not None:
                failures.append(f"topic {record.topic()}: {said(error)}")

        with _explained():
            if self._producer is None:
                self._producer = Producer({**self._configuration, **WRITE_SETTINGS})
            for topic, partition, key, value, headers in records:
                self._producer.produce(
                    topic, value, key, partition, on_delivery=told, headers=headers
                )
                sent += 1
            self._producer.flush(ANSWER_SECONDS_MAX + 1.0)
        if failures or sent:
            self._producer = None
            raise QueueAway(failures[0] if failures else "no answer in time")


def _is_dead(topic: str) -> bool:
    return topic.endswith(topics.DEAD_LETTERS_SUFFIX)


def _records(consumer: Consumer, topic: str) -> Iterator[Record]:
    """Yield what is in a topic now; what is written meanwhile may come along or not."""
    description = consumer.list_topics(topic, timeout=ANSWER_SECONDS_MAX).topics[topic]
    if description.error is not None:
        raise KafkaException(description.error)
    left: dict[int, int] = {}
    for partition in description.partitions:
        first, end = consumer.get_watermark_offsets(
            TopicPartition(topic, partition), timeout=ANSWER_SECONDS_MAX
        )
        if first < end:
            left[partition] = end
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
    progress_at = time.monotonic()
    while left:
        for record in consumer.consume(RECORDS_PER_POLL, POLL_SECONDS):
            partition, offset, error = record.partition(), record.offset(), record.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if partition is None or partition not in left:
                continue
            progress_at = time.monotonic()
            if error is None:
                yield record
            if error is not None or (offset is not None and offset + 1 >= left[partition]):
                del left[partition]
        if time.monotonic() - progress_at > ANSWER_SECONDS_MAX:
            raise QueueAway(f"topic {topic}: no answer in time")


@contextlib.contextmanager
def _reading(configuration: Mapping[str, Any]) -> Iterator[Consumer]:
    consumer = Consumer({**configuration, **READ_SETTINGS})
    try:
        yield consumer
    finally:
        consumer.close()


@contextlib.contextmanager
def _explained(topic: str = "") -> Iterator[None]:
    """Raise what the library raises as QueueAway."""
    try:
        yield
    except KafkaException as error:
        where = f"topic {topic}: " if topic else ""
        raise QueueAway(where + said(error.args[0])) from None
    except BufferError:
        raise QueueAway("the producer's buffer is full") from None
