"""Dead letters: how an event that cannot be handled is kept, and what was decided about it.

A letter is in the topic `<topic>.dlq` with its key, value and headers as they were, and headers of
ours beside them. Kafka deletes nothing at will, so that a decision (replayed, dropped) is a record
of the same topic, a *mark*, which names the letter, and a letter counts while no mark follows it.
That keeps letters and what became of them in one place, with one retention and the same rights, and
needs no database that the operator's command would have to reach. The price is that whoever lists
letters reads the whole topic, which only ever holds what went wrong.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from processor.consumers.delivery import Delivery, Headers, Partition

OWN_PREFIX: Final = "dlq-"
REPLAYED: Final = "replayed"
DROPPED: Final = "dropped"
TEXT_LENGTH_MAX: Final = 500

_CONSUMER: Final = "dlq-consumer"
_TOPIC: Final = "dlq-topic"
_PARTITION: Final = "dlq-partition"
_OFFSET: Final = "dlq-offset"
_CAUSE: Final = "dlq-cause"
_TEXT: Final = "dlq-text"
_ATTEMPTS: Final = "dlq-attempts"
_FIRST: Final = "dlq-first-time"
_LAST: Final = "dlq-last-time"
_WITHOUT_VALUE: Final = "dlq-without-value"
_MARK: Final = "dlq-mark"
_ID: Final = "dlq-id"
_BY: Final = "dlq-by"
_REASON: Final = "dlq-reason"
_TIME: Final = "dlq-time"


class QueueAway(Exception):
    """Letters cannot be read or written; the text names the topic if there is one."""


class Letter(NamedTuple):
    """An event that a consumer could not handle."""

    consumer: str
    cause: str
    """A reason code, such as MALFORMED."""
    text: str
    """The reason in words, without a stack and without content of the event."""
    attempts: int
    first_at: float
    """When it failed for the first time, in s since 1970."""
    last_at: float
    delivery: Delivery
    """As it was delivered, and where."""
    without_value: bool = False
    """The value did not fit into the dead-letter topic; it is only where it was."""

    @property
    def id(self) -> str:
        """Consumer, topic, partition and offset: the same however often it is parked."""
        place = self.delivery.partition
        return f"{self.consumer}/{place.topic}/{place.number}/{self.delivery.offset}"


class Mark(NamedTuple):
    """What was decided about a letter, by whom and when (s since 1970)."""

    id: str
    decision: str
    by: str
    reason: str
    at: float


def headers(letter: Letter) -> Headers:
    """Return the headers under which a letter is stored: its own ones and ours."""
    place = letter.delivery.partition
    ours = {
        _CONSUMER: letter.consumer,
        _TOPIC: place.topic,
        _PARTITION: str(place.number),
        _OFFSET: str(letter.delivery.offset),
        _CAUSE: letter.cause,
        _TEXT: letter.text[:TEXT_LENGTH_MAX],
        _ATTEMPTS: str(letter.attempts),
        _FIRST: _written(letter.first_at),
        _LAST: _written(letter.last_at),
    }
    if letter.without_value:
        ours[_WITHOUT_VALUE] = "1"
    return [*_original(letter.delivery.headers), *_encoded(ours)]


def mark_headers(mark: Mark) -> Headers:
    """Return the headers that are all of a mark."""
    return _encoded(
        {
            _MARK: mark.decision,
            _ID: mark.id,
            _BY: mark.by,
            _REASON: mark.reason[:TEXT_LENGTH_MAX],
            _TIME: _written(mark.at),
        }
    )


def parse(stored: Delivery) -> Letter | Mark | None:
    """Return what a record of a dead-letter topic is; None for what we did not write."""
    ours = {
        name: (value or b"").decode(errors="replace")
        for name, value in stored.headers
        if name.startswith(OWN_PREFIX)
    }
    try:
        return _mark(ours) if _MARK in ours else _letter(ours, stored)
    except (KeyError, ValueError):
        return None


def outstanding(records: Iterable[Letter | Mark]) -> dict[str, Letter]:
    """Return, by id, the letters about which nothing was decided since they were parked.

    Records may come in any order: they are in several partitions. A letter that was parked twice,
    by a consumer that died in between, is one.
    """
    found: dict[str, Letter] = {}
    decided: dict[str, float] = {}
    for record in records:
        if isinstance(record, Mark):
            decided[record.id] = max(record.at, decided.get(record.id, 0.0))
        elif record.id not in found or found[record.id].last_at < record.last_at:
            found[record.id] = record
    return {id: letter for id, letter in found.items() if letter.last_at > decided.get(id, 0.0)}


def decided(records: Iterable[Letter | Mark]) -> list[tuple[Letter, Mark]]:
    """Return what was decided about letters that are still kept, the newest decision first."""
    found: dict[str, Letter] = {}
    marks: list[Mark] = []
    for record in records:
        if isinstance(record, Mark):
            marks.append(record)
        else:
            found[record.id] = record
    pairs = [(found[mark.id], mark) for mark in marks if mark.id in found]
    return sorted(pairs, key=lambda pair: (-pair[1].at, pair[1].id))


def _letter(ours: dict[str, str], stored: Delivery) -> Letter:
    delivery = Delivery(
        Partition(ours[_TOPIC], int(ours[_PARTITION])),
        int(ours[_OFFSET]),
        stored.key,
        stored.value,
        _original(stored.headers),
        stored.timestamp,
    )
    return Letter(
        ours[_CONSUMER],
        ours[_CAUSE],
        ours[_TEXT],
        int(ours[_ATTEMPTS]),
        _read(ours[_FIRST]),
        _read(ours[_LAST]),
        delivery,
        without_value=_WITHOUT_VALUE in ours,
    )


def _mark(ours: dict[str, str]) -> Mark:
    return Mark(ours[_ID], ours[_MARK], ours[_BY], ours[_REASON], _read(ours[_TIME]))


def _original(all_headers: Headers) -> list[tuple[str, bytes | None]]:
    """Leave out what is ours, also of a letter that somebody put back by hand."""
    return [(name, value) for name, value in all_headers if not name.startswith(OWN_PREFIX)]


def _encoded(texts: dict[str, str]) -> list[tuple[str, bytes | None]]:
    return [(name, text.encode(errors="replace")) for name, text in texts.items()]


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def _read(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
