"""How far a consumer group is, and what topics hold from a time on. Both only look; none joins.

The calls wait: a server makes them in a thread (`worker`).
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from processor.consumers.delivery import Delivery, Partition
from storage.kafka.member import delivery_of, said
from storage.kafka.topic_plan import BrokersAway

ANSWER_SECONDS_MAX: Final = 5.0
PROGRESS_SECONDS_MAX: Final = 30.0
"""Without any record from brokers that have some."""
POLL_SECONDS: Final = 0.5
RECORDS_PER_POLL: Final = 2_000

SETTINGS: Final[Mapping[str, object]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "socket.timeout.ms": int(ANSWER_SECONDS_MAX * 1_000),
    "log_level": 0,
}


class Offsets(NamedTuple):
    """Of each partition the offset that the next record gets, and the one to be handled next."""

    ends: Mapping[Partition, int]
    finished: Mapping[Partition, int]


class GroupOffsets:
    """Asks how far a group is with its topics."""

    def __init__(self, configuration: Mapping[str, Any], group: str, topics: Sequence[str]) -> None:
        """`topics` are whole names. Raises BrokersAway."""
        self._topics = topics
        with _explained():
            self._consumer = Consumer({**configuration, **SETTINGS, "group.id": group})

    def look(self) -> Offsets:
        """Return what the brokers say now. Raises BrokersAway."""
        with _explained():
            partitions = _partitions(self._consumer, self._topics)
            committed = self._consumer.committed(partitions, timeout=ANSWER_SECONDS_MAX)
            ends, finished = {}, {}
            for it in committed:
                first, end = self._consumer.get_watermark_offsets(
                    TopicPartition(it.topic, it.partition), timeout=ANSWER_SECONDS_MAX
                )
                partition = Partition(it.topic, it.partition)
                ends[partition] = end
                # What was deleted by age is not to be handled any more.
                finished[partition] = max(it.offset, first)
        return Offsets(ends, finished)

    def close(self) -> None:
        """Let go of the brokers."""
        self._consumer.close()


class TopicReader:
    """Reads topics from a time on up to where they end, as often as is asked."""

    def __init__(
        self, configuration: Mapping[str, Any], topics: Sequence[str], since: float
    ) -> None:
        """`topics` are whole names; `since` is in s since 1970. Raises BrokersAway."""
        self._topics = topics
        with _explained():
            # The library wants a group to read anything; nothing joins it.
            self._consumer = Consumer({**configuration, **SETTINGS, "group.id": "tender-reading"})
            try:
                self._next = self._starts(since)
            except BaseException:
                self._consumer.close()
                raise

    def _starts(self, since: float) -> dict[Partition, int]:
        wanted = [
            TopicPartition(it.topic, it.partition, int(since * 1_000))
            for it in _partitions(self._consumer, self._topics)
        ]
        found = self._consumer.offsets_for_times(wanted, timeout=ANSWER_SECONDS_MAX)
        return {
            Partition(it.topic, it.partition): it.offset if it.offset >= 0 else OFFSET_END
            for it in found
        }

    def left(self) -> int:
        """Return how many records there are to be read. Raises BrokersAway."""
        return sum(end - first for first, end in self._spans().values())

    def _spans(self) -> dict[Partition, tuple[int, int]]:
        """Return where to read from and up to where, of partitions that have something."""
        found = {}
        with _explained():
            for partition, next_offset in self._next.items():
                first, end = self._consumer.get_watermark_offsets(
                    TopicPartition(*partition), timeout=ANSWER_SECONDS_MAX
                )
                if next_offset == OFFSET_END:
                    # Nothing was newer than the time; what comes from here on is.
                    next_offset = self._next[partition] = end
                elif next_offset == OFFSET_BEGINNING:
                    next_offset = first
                if max(next_offset, first) < end:
                    found[partition] = (max(next_offset, first), end)
        return found

    def read(self) -> Iterator[Sequence[Delivery]]:
        """Yield in parts what follows what was read before, up to the ends as of now.

        Raises BrokersAway.
        """
        spans = self._spans()
        with _explained():
            self._consumer.assign(
                [TopicPartition(*partition, first) for partition, (first, _) in spans.items()]
            )
            left = {partition: end for partition, (_, end) in spans.items()}
            progress_at = time.monotonic()
            while left:
                part = []
                for record in self._consumer.consume(RECORDS_PER_POLL, POLL_SECONDS):
                    error = record.error()
                    if error is not None and error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    topic, number, offset = record.topic(), record.partition(), record.offset()
                    if topic is None or number is None or offset is None:
                        continue
                    partition = Partition(topic, number)
                    if partition not in left:
                        continue
                    progress_at = time.monotonic()
                    if error is None and offset < left[partition]:
                        part.append(delivery_of(record))
                        self._next[partition] = offset + 1
                    if error is not None or offset + 1 >= left[partition]:
                        self._next[partition] = max(self._next[partition], left.pop(partition))
                if part:
                    yield part
                if time.monotonic() - progress_at > PROGRESS_SECONDS_MAX:
                    raise BrokersAway("no record in time")

    def close(self) -> None:
        """Let go of the brokers."""
        self._consumer.close()


def _partitions(consumer: Consumer, topics: Sequence[str]) -> list[TopicPartition]:
    found = []
    # All topics and not these: to ask for one by its name may make it.
    known = consumer.list_topics(timeout=ANSWER_SECONDS_MAX).topics
    for topic in topics:
        if topic not in known:
            raise BrokersAway(f"topic {topic} is not there")
        found += [TopicPartition(topic, number) for number in known[topic].partitions]
    return found


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise what the library raises as BrokersAway."""
    try:
        yield
    except KafkaException as error:
        raise BrokersAway(said(error.args[0])) from None
