"""A consumer of Tender's events, for whoever else wants to hear of them.

    brokers = {"bootstrap.servers": "..."}
    with events.Consumer(brokers, group="receipts", topics=["payments"]) as heard:
        for event in heard:
            match event:
                case events.Event(type="payment_captured"):
                    write_receipt(event.message.payment.payment)
                case events.UnknownSchema():
                    keep_for_later(event)
            heard.done(event)

Each event comes at least once and in the order of its key; what was not `done` comes again after a
restart. Repeats that this consumer can tell are left out: by id, and by version what is older than
what it has seen of its entity. It remembers so many of both, so that an effect that must not happen
twice still needs the id beside it. Needs confluent-kafka: `pip install 'tender[events]'`.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeAlias, TypeVar

from google.protobuf.message import DecodeError

from tender.v1 import event_pb2, operation_pb2

try:
    import confluent_kafka as kafka
except ImportError as missing:
    raise ImportError(
        "tender.events needs Kafka's client: pip install 'tender[events]'"
    ) from missing

SCHEMA_VERSIONS: Final = frozenset({1})
"""Of messages that this version of the SDK can read."""

REMEMBERED_MAX: Final = 100_000
"""Ids and entities that are remembered, of each the last ones: some 20 MB."""
UNFINISHED_MAX: Final = 10_000
"""Events that were given out and are not done; with more nothing further is given."""
POLL_SECONDS: Final = 0.5
COMMIT_SECONDS_MAX: Final = 10.0

OUTCOME: Final = "command_outcome"
_TYPE_HEADER: Final = "event-type"
_SCHEMA_HEADER: Final = "schema-version"

REQUIRED: Final[Mapping[str, object]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
}
DEFAULTS: Final[Mapping[str, object]] = {
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,
}

Message: TypeAlias = event_pb2.Event | operation_pb2.CommandOutcome


class EventsError(Exception):
    """The brokers do not do it; the text names the error."""


class TooManyUnfinished(EventsError):
    """More events were taken than are done: `done` has to follow each."""


class Place(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was committed, or what became of a submitted command."""

    place: Place
    id: str
    """The same whenever the same thing is told."""
    type: str
    """Such as payment_captured; docs/events.md lists them all."""
    schema_version: int
    entity_id: str
    version: int
    """Of the entity, after what happened; 0 where there are none."""
    message: Any
    """tender.v1.Event; of the topic command-outcomes tender.v1.CommandOutcome."""
    headers: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class UnknownSchema:
    """An event of a schema that this version of the SDK cannot read: keep it until an upgrade."""

    place: Place
    key: bytes
    value: bytes
    headers: Mapping[str, bytes]
    schema_version: str
    """As the record says."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that is no event of Tender's at all."""

    place: Place
    key: bytes
    value: bytes
    headers: Mapping[str, bytes]
    problem: str


Told: TypeAlias = Event | UnknownSchema | Malformed

_Key = TypeVar("_Key", bound=Hashable)


class Memory:
    """Knows the last ids and versions that went by. Both bounded; what fell out is not known."""

    def __init__(self, size_max: int = REMEMBERED_MAX) -> None:
        self._size_max = size_max
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._versions: OrderedDict[tuple[str, str], int] = OrderedDict()

    def is_repeat(self, event: Event) -> bool:
        """Say whether an event came before, or is older than what came of its entity."""
        newest = self._versions.get(_entity(event), 0)
        # Several events may be of one version, so that only a lower one says something.
        return event.id in self._ids or 0 < event.version < newest

    def note(self, event: Event) -> None:
        """Take note of an event that is done."""
        self._put(self._ids, event.id, None)
        if event.version:
            entity = _entity(event)
            self._put(self._versions, entity, max(event.version, self._versions.get(entity, 0)))

    def _put(self, known: "OrderedDict[_Key, Any]", key: _Key, value: object) -> None:
        known[key] = value
        known.move_to_end(key)
        if len(known) > self._size_max:
            known.popitem(last=False)


class Consumer:
    """One member of a consumer group; iterate over it with `for` or with `async for`.

    Use it from one thread, or from one event loop.
    """

    def __init__(
        self,
        configuration: Mapping[str, Any],
        *,
        group: str,
        topics: Sequence[str],
        remembered_max: int = REMEMBERED_MAX,
        unfinished_max: int = UNFINISHED_MAX,
    ) -> None:
        """`configuration` is of librdkafka, such as bootstrap.servers; `topics` are whole names."""
        self._memory = Memory(remembered_max)
        self._unfinished_max = unfinished_max
        self._progress: dict[tuple[str, int], _Progress] = {}
        self._unfinished = 0
        self._is_closed = False
        self._thread: ThreadPoolExecutor | None = None
        try:
            self._consumer = kafka.Consumer(
                {**DEFAULTS, **configuration, **REQUIRED, "group.id": group}
            )
        except (kafka.KafkaException, ValueError) as error:
            raise EventsError(f"the configuration does not fit: {_said(error)}") from None
        self._consumer.subscribe(
            list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._in_thread(self.close)
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def __iter__(self) -> Iterator[Told]:
        """Yield what comes, for ever; each has to be `done`. Raises EventsError."""
        while not self._is_closed:
            told = self.poll(POLL_SECONDS)
            if told is not None:
                yield told

    async def __aiter__(self) -> AsyncIterator[Told]:
        """Yield what comes, for ever; each has to be `done`. Raises EventsError."""
        while not self._is_closed:
            told = await self._in_thread(lambda: self.poll(POLL_SECONDS))
            if told is not None:
                yield told

    def poll(self, seconds: float) -> Told | None:
        """Return what comes next, None if nothing came in time. Raises EventsError."""
        if self._is_closed:
            raise EventsError("it is closed")
        if self._unfinished >= self._unfinished_max:
            raise TooManyUnfinished(f"{self._unfinished} events were taken and are not done")
        self._commit()
        record = self._consumer.poll(seconds)
        if record is None:
            return None
        error = record.error()
        if error is not None:
            if error.fatal() or not error.retriable():
                raise EventsError(error.name())
            return None
        told = read(record)
        progress = self._progress.setdefault(told.place[:2], _Progress(told.place.offset))
        progress.given.append(told.place.offset)
        self._unfinished += 1
        if isinstance(told, Event) and self._memory.is_repeat(told):
            self.done(told)
            return None
        return told

    def done(self, told: Told) -> None:
        """Say that an event was handled: it does not come again, once this is committed.

        In any order; the position passes an event once all before it are done too. It is committed
        with the next poll, and when the consumer is closed.
        """
        if isinstance(told, Event):
            self._memory.note(told)
        progress = self._progress.get(told.place[:2])
        if progress is not None and progress.finish(told.place.offset):
            self._unfinished -= 1

    def commit(self) -> None:
        """Commit what is done now, and wait for it. Raises EventsError."""
        try:
            self._commit(waits=True)
        except kafka.KafkaException as error:
            raise EventsError(_said(error)) from None

    def close(self) -> None:
        """Commit what is done and leave the group."""
        if self._is_closed:
            return
        self._is_closed = True
        # What cannot be committed comes again.
        with contextlib.suppress(kafka.KafkaException):
            self._commit(waits=True)
        self._consumer.close()

    def _commit(self, *, waits: bool = False) -> None:
        offsets = [
            kafka.TopicPartition(topic, partition, progress.next)
            for (topic, partition), progress in self._progress.items()
            if progress.moved()
        ]
        if offsets and waits:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        elif offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _assigned(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        for one in partitions:
            self._progress.pop((one.topic, one.partition), None)

    def _revoked(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        with contextlib.suppress(kafka.KafkaException):
            self._commit(waits=True)
        self._lost(_consumer, partitions)

    def _lost(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        for one in partitions:
            progress = self._progress.pop((one.topic, one.partition), None)
            if progress is not None:
                self._unfinished -= len(progress.given)

    async def _in_thread(self, function: Callable[[], "_Result"]) -> "_Result":
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="tender-events")
        running = asyncio.get_running_loop().run_in_executor(self._thread, function)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # It cannot be stopped, and nothing may come in between.
            await asyncio.wait([running])
            raise


_Result = TypeVar("_Result")


class _Progress:
    """What of a partition was given out, and up to where all of it is done."""

    def __init__(self, first: int) -> None:
        self.next = first
        self.given: list[int] = []
        self._done: set[int] = set()
        self._committed = first

    def finish(self, offset: int) -> bool:
        """Note that a record is done; false if it was already, or was not given out."""
        if offset in self._done or offset not in self.given:
            return False
        self._done.add(offset)
        while self.given and self.given[0] in self._done:
            first = self.given.pop(0)
            self._done.discard(first)
            self.next = first + 1
        return True

    def moved(self) -> bool:
        """Say whether there is more to commit than at the last time that this was asked."""
        before, self._committed = self._committed, self.next
        return self.next != before


def read(record: Any) -> Told:
    """Return what a record of confluent-kafka says."""
    place = Place(record.topic(), record.partition(), record.offset())
    key, value = record.key() or b"", record.value() or b""
    headers = {name: content or b"" for name, content in record.headers() or ()}
    version = headers.get(_SCHEMA_HEADER, b"").decode(errors="replace")
    if version and version not in map(str, SCHEMA_VERSIONS):
        return UnknownSchema(place, key, value, headers, version)
    kind = headers.get(_TYPE_HEADER, b"").decode(errors="replace")
    if not kind or not version:
        return Malformed(place, key, value, headers, "a header is missing")
    try:
        event = _outcome if kind == OUTCOME else _event
        found = event(place, value, headers)
    except DecodeError:
        return Malformed(place, key, value, headers, "its bytes are no message of its type")
    if str(found.schema_version) != version or found.type != kind or not found.id:
        return Malformed(place, key, value, headers, "headers and message say different things")
    return found


def _event(place: Place, value: bytes, headers: Mapping[str, bytes]) -> Event:
    message = event_pb2.Event.FromString(value)
    return Event(
        place,
        message.id,
        message.type,
        message.schema_version,
        message.entity_id,
        message.version,
        message,
        headers,
    )


def _outcome(place: Place, value: bytes, headers: Mapping[str, bytes]) -> Event:
    message = operation_pb2.CommandOutcome.FromString(value)
    name = message.operation_id
    return Event(place, name, OUTCOME, message.schema_version, name, 0, message, headers)


def _entity(event: Event) -> tuple[str, str]:
    # Versions are counted by entity, and an entity's events are in one topic.
    return event.place.topic, event.entity_id


def _said(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.name() if isinstance(first, kafka.KafkaError) else type(error).__name__
