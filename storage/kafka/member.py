"""What a member of a consumer group does with the client library, all of it in one thread.

Groups are those of the classic protocol with the cooperative assignor: every broker since 2.4 has
them, and partitions that stay with a member go on while others move. The newer protocol (KIP-848)
needs brokers of 4.0.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

import structlog
from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as Record

from processor.consumers.delivery import Delivery, Partition
from processor.consumers.ports import Polled, SourceLost

SESSION_TIMEOUT_MS: Final = 10_000
"""A member that is killed is noticed after that, and its partitions go to others."""
POLL_INTERVAL_MS_MAX: Final = 60_000
"""A member that does not poll for so long is taken for stuck; the loop polls every 10 s."""
SOCKET_TIMEOUT_MS: Final = 10_000
METADATA_REFRESH_MS: Final = 10_000
"""So soon a topic is found that was not there at the start."""
PREFETCHED_RECORDS: Final = 2_000
PREFETCHED_KILOBYTES_MAX: Final = 8 * 1024
"""Read ahead, by all partitions together."""
FULL_QUEUE_BACKOFF_MS: Final = 20
"""Between two looks whether there is room to read on; the default of a second would show."""
COMMIT_SECONDS: Final = 0.2
"""Between two commits: each is a record on the broker, and what it lacks is only a repetition."""
COMMIT_ANSWER_SECONDS_MAX: Final = 15.0
"""No other commit is sent before, so that none overtakes another; longer than the socket waits."""
LAGS_SECONDS: Final = 1.0
ERROR_SECONDS: Final = 15.0
"""How long an error that is not repeated counts; the library tries again every 10 s."""

DEFAULTS: Final[Mapping[str, object]] = {
    "session.timeout.ms": SESSION_TIMEOUT_MS,
    "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 5,
    "socket.timeout.ms": SOCKET_TIMEOUT_MS,
    "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS,
    "queued.min.messages": PREFETCHED_RECORDS,
    "queued.max.messages.kbytes": PREFETCHED_KILOBYTES_MAX,
    "fetch.queue.backoff.ms": FULL_QUEUE_BACKOFF_MS,
}
"""What a deployment may know better."""
REQUIRED: Final[Mapping[str, object]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    "max.poll.interval.ms": POLL_INTERVAL_MS_MAX,
    # What the library would log comes as errors too, and our logs are JSON.
    "log_level": 0,
}
"""What the loop relies on."""

_OF_REBALANCES: Final = (
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
)

log = structlog.get_logger()


class Member:
    """A member of a group; partitions come and go within `poll` and `close`, by callbacks."""

    def __init__(self, configuration: Mapping[str, Any], group: str, topics: Sequence[str]) -> None:
        self._configuration = {
            **DEFAULTS,
            **configuration,
            **REQUIRED,
            "group.id": group,
            "error_cb": self._on_error,
            "on_commit": self._on_commit,
        }
        self._group = group
        self._topics = list(topics)
        self._consumer: Consumer | None = None
        self._owned: set[Partition] = set()
        self._paused: set[Partition] = set()
        self._gone: set[Partition] = set()
        self._records: list[Record] = []
        self._positions: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._commit_due = 0.0
        self._known_lags: dict[Partition, int] = {}
        self._lags_due = 0.0
        self._topic_problems: dict[str, str] = {}
        self._error, self._error_at = "", 0.0
        self._fatal = ""

    @property
    def owned(self) -> Set[Partition]:
        """The partitions that this member has."""
        return frozenset(self._owned)

    def finish(self, positions: Mapping[Partition, int]) -> None:
        """Note what is to be committed; see `ports.Source.finish`."""
        assert positions.keys() <= self._owned, "finished while they are still ours"
        self._positions |= positions

    def start(self) -> None:
        """Join the group. Raises SourceLost or KafkaException."""
        try:
            self._consumer = Consumer(self._configuration)
        except ValueError as error:
            raise SourceLost(f"a setting does not fit: {error}") from None
        self._consumer.subscribe(
            self._topics,
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll(self, count_max: int, seconds_max: float, paused: Set[Partition]) -> Polled:
        """Return what there is; see `ports.Source.poll`. Raises SourceLost or KafkaException."""
        if self._consumer is None:
            raise SourceLost("it is closed")
        consumer = self._consumer
        self._pause(consumer, paused)
        self._commit(consumer)
        # `consume` would wait until it has all that it may return: one is waited for, and the rest
        # is what is here by then.
        first = consumer.poll(seconds_max)
        if first is not None:
            # A callback of the next call takes out of it what is not ours any more.
            self._records.append(first)
            if count_max > 1:
                more = consumer.consume(count_max - 1, 0)
                self._records.extend(more)
        records, self._records = self._records, []
        deliveries = [delivery_of(record) for record in records if self._is_record(record)]
        if self._topic_problems:
            for delivery in deliveries:
                self._topic_problems.pop(delivery.partition.topic, None)
        if self._fatal:
            raise SourceLost(self._fatal)
        gone, self._gone = frozenset(self._gone), set()
        return Polled(deliveries, gone, self._lags(consumer), self._problem())

    def _pause(self, consumer: Consumer, wanted: Set[Partition]) -> None:
        """Pause and resume what is not so yet: twice is not the same as once to the library."""
        wanted = wanted & self._owned
        if more := wanted - self._paused:
            consumer.pause([_named(partition) for partition in more])
        if fewer := self._paused - wanted:
            consumer.resume([_named(partition) for partition in fewer])
        self._paused = set(wanted)

    def _commit(self, consumer: Consumer) -> None:
        """Commit what was finished since, without waiting; one commit at a time, in their order."""
        now = time.monotonic()
        if now < self._commit_due:
            return
        if offsets := self._uncommitted(self._owned):
            consumer.commit(offsets=offsets, asynchronous=True)
            self._commit_due = now + COMMIT_ANSWER_SECONDS_MAX

    def _commit_now(self, consumer: Consumer, partitions: Set[Partition]) -> None:
        """Commit what was finished of these, and wait for it."""
        if not (offsets := self._uncommitted(partitions)):
            return
        try:
            self._note_committed(consumer.commit(offsets=offsets, asynchronous=False))
        except KafkaException as error:
            # What was not committed is delivered again, and had its effect already.
            reason = said(error.args[0])
            log.warning("consumer_left_uncommitted", consumer=self._group, reason=reason)

    def _uncommitted(self, partitions: Set[Partition]) -> list[TopicPartition]:
        return [
            TopicPartition(partition.topic, partition.number, offset)
            for partition, offset in self._positions.items()
            if partition in partitions and self._committed.get(partition) != offset
        ]

    def _note_committed(self, offsets: Sequence[TopicPartition]) -> None:
        for one in offsets:
            if one.error is None:
                self._committed[Partition(one.topic, one.partition)] = one.offset

    def _lags(self, consumer: Consumer) -> Mapping[Partition, int]:
        """Return how far behind each partition is, looked up once a second."""
        now = time.monotonic()
        if now < self._lags_due:
            return {name: lag for name, lag in self._known_lags.items() if name in self._owned}
        self._lags_due = now + LAGS_SECONDS
        self._known_lags = {}
        owned = [_named(partition) for partition in self._owned]
        for at in consumer.position(owned) if owned else ():
            try:
                _, end = consumer.get_watermark_offsets(_named_again(at), cached=True)
            except KafkaException:
                continue  # Nothing of it was fetched yet.
            # Both are negative while they are not known.
            if end >= 0 and at.offset >= 0:
                self._known_lags[Partition(at.topic, at.partition)] = max(end - at.offset, 0)
        return dict(self._known_lags)

    def close(self) -> None:
        """Commit what is finished and leave the group. Raises KafkaException."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        self._commit_now(consumer, self._owned)
        # Gives the partitions back, by way of the callback.
        consumer.close()

    # Callbacks: an exception in one would lose the records of the call that it is in.

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            self._owned.add(Partition(one.topic, one.partition))
            self._topic_problems.pop(one.topic, None)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._commit_now(consumer, {Partition(one.topic, one.partition) for one in partitions})
        self._give_up(consumer, partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Somebody else may have them by now, and may be further.
        self._give_up(consumer, partitions)

    def _give_up(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {Partition(one.topic, one.partition) for one in partitions}
        if paused := gone & self._paused:
            # It would still be paused when it came back.
            with contextlib.suppress(KafkaException):
                consumer.resume([_named(partition) for partition in paused])
        self._owned -= gone
        self._paused -= gone
        self._gone |= gone
        for partition in gone:
            self._positions.pop(partition, None)
            self._committed.pop(partition, None)
        self._records[:] = [
            record
            for record in self._records
            if record.error() is not None or delivery_of(record).partition not in gone
        ]

    def _on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        self._commit_due = time.monotonic() + COMMIT_SECONDS
        if error is not None:
            if error.code() not in _OF_REBALANCES:
                self._error, self._error_at = said(error), time.monotonic()
        else:
            # A partition may have gone meanwhile.
            self._note_committed(
                [one for one in offsets if Partition(one.topic, one.partition) in self._owned]
            )

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = said(error)
        elif error.code() != KafkaError._TRANSPORT:
            # One connection of several, or an idle one; the library makes another.
            self._error, self._error_at = said(error), time.monotonic()

    def _is_record(self, record: Record) -> bool:
        error = record.error()
        if error is None:
            return True
        if error.fatal():
            self._fatal = said(error)
        elif record.topic():
            self._topic_problems[str(record.topic())] = said(error)
        else:
            self._on_error(error)
        return False

    def _problem(self) -> str:
        """Return what the broker has against us, as far as it said so lately."""
        parts = [f"topic {topic}: {why}" for topic, why in sorted(self._topic_problems.items())]
        if self._error and time.monotonic() - self._error_at < ERROR_SECONDS:
            parts.append(self._error)
        return ", ".join(parts)


def _named(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)


def _named_again(at: TopicPartition) -> TopicPartition:
    return TopicPartition(at.topic, at.partition)


def said(error: KafkaError) -> str:
    """Return the error's name: its text may name hosts, or quote what was sent."""
    return str(error.name())


def delivery_of(record: Record) -> Delivery:
    """Return a record as consumers see it."""
    topic, partition, offset = record.topic(), record.partition(), record.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    kind, milliseconds = record.timestamp()
    found = record.headers() or []
    pairs = found.items() if isinstance(found, dict) else found
    return Delivery(
        Partition(topic, partition),
        offset,
        record.key(),
        record.value(),
        [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs],
        0.0 if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds / 1_000,
    )
