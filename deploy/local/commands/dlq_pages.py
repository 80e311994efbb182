"""How dead letters look on a terminal and in JSON. Card numbers are masked wherever they are."""

import contextlib
import getpass
import json
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from rich.markup import escape

from deploy.local.commands import output
from kit import logs
from processor.consumers.letters import Letter, Mark
from tender.v1 import event_pb2, notification_pb2

GROUP_COLUMNS = ("topic", "consumer", "cause", "=letters", "first", "last", "for instance")
LETTER_COLUMNS = ("letter", "cause", "=attempts", "first", "last", "key")
DECISION_COLUMNS = ("letter", "cause", "decision", "by", "when", "reason")
REQUESTS = "notifications"
"""The topic of requests for messages; all others have events."""
BYTES, HIDDEN = "value", "(hidden)"
TEXT_LENGTH_MAX = 2_000
"""Of an event that cannot be read, as it is shown."""


@dataclass(frozen=True)
class Group:
    """Letters of one topic and consumer with one cause."""

    topic: str
    consumer: str
    cause: str
    letters: Sequence[Letter]

    def row(self) -> Sequence[str]:
        """A row of a table."""
        return (
            self.topic,
            self.consumer,
            self.cause,
            f"{len(self.letters):,}",
            moment(self._first),
            moment(self._last),
            self.letters[0].id,
        )

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "topic": self.topic,
            "consumer": self.consumer,
            "cause": self.cause,
            "letters": len(self.letters),
            "firstTime": moment(self._first),
            "lastTime": moment(self._last),
            "example": self.letters[0].id,
        }

    @property
    def _first(self) -> float:
        return min(letter.first_at for letter in self.letters)

    @property
    def _last(self) -> float:
        return max(letter.last_at for letter in self.letters)


def grouped(found: Iterable[Letter]) -> list[Group]:
    """Return letters by topic, consumer and cause, the largest group first, else by name."""
    groups: dict[tuple[str, str, str], list[Letter]] = {}
    for letter in found:
        key = (letter.delivery.partition.topic, letter.consumer, letter.cause)
        groups.setdefault(key, []).append(letter)
    made = [Group(*key, groups[key]) for key in sorted(groups)]
    return sorted(made, key=lambda group: -len(group.letters))


def letter_row(letter: Letter) -> Sequence[str]:
    """A row of the table of letters."""
    return (
        letter.id,
        letter.cause,
        str(letter.attempts),
        moment(letter.first_at),
        moment(letter.last_at),
        escape(_text(letter.delivery.key)),
    )


def decision_row(letter: Letter, mark: Mark) -> Sequence[str]:
    """A row of the table of decisions."""
    return (
        letter.id,
        letter.cause,
        mark.decision,
        escape(mark.by),
        moment(mark.at),
        escape(mark.reason),
    )


def decision_dict(letter: Letter, mark: Mark) -> dict[str, Any]:
    """A decision about a letter, for machines."""
    return {
        "id": letter.id,
        "cause": letter.cause,
        "decision": mark.decision,
        "by": mark.by,
        "time": moment(mark.at),
        "reason": mark.reason,
    }


def letter_dict(letter: Letter) -> dict[str, Any]:
    """A letter without its event, for machines."""
    place = letter.delivery.partition
    return {
        "id": letter.id,
        "topic": place.topic,
        "partition": place.number,
        "offset": letter.delivery.offset,
        "consumer": letter.consumer,
        "cause": letter.cause,
        "text": logs.redact(letter.text),
        "attempts": letter.attempts,
        "firstTime": moment(letter.first_at),
        "lastTime": moment(letter.last_at),
        "key": _text(letter.delivery.key),
        "headers": {logs.redact(name): _text(value) for name, value in letter.delivery.headers},
        "withoutValue": letter.without_value,
    }


def content(letter: Letter) -> dict[str, Any]:
    """What was sent, for machines: its event or request if it is one, else its bytes as text."""
    kind, message = _message(letter)
    return {kind: json.loads(message) if kind != BYTES else message}


def letter_page(letter: Letter) -> output.Rows:
    """All of a letter."""
    place = letter.delivery.partition
    rows = [
        ("letter", letter.id),
        ("cause", f"[{output.BAD}]{letter.cause}[/]"),
        ("", escape(logs.redact(letter.text))),
        ("consumer", letter.consumer),
        ("from", f"{place.topic}, partition {place.number}, offset {letter.delivery.offset}"),
        ("attempts", str(letter.attempts)),
        ("first failed", moment(letter.first_at)),
        ("parked", moment(letter.last_at)),
        ("key", escape(_text(letter.delivery.key))),
    ]
    rows += [
        (f"  {escape(logs.redact(name))}", escape(_text(value)))
        for name, value in letter.delivery.headers
    ]
    if letter.without_value:
        return [*rows, ("event", "too large to be kept here; it is where it was")]
    kind, message = _message(letter)
    return [*rows, ("bytes" if kind == BYTES else kind, escape(message))]


def operator() -> str:
    """Who gives the command: login and machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def moment(at: float) -> str:
    """A time in s since 1970 as people read it."""
    shown = datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="milliseconds")
    return shown.replace("+00:00", "Z")


def _message(letter: Letter) -> tuple[str, str]:
    """Return what a letter's bytes are, and those: a message as JSON, else as text."""
    value = letter.delivery.value or b""
    with contextlib.suppress(DecodeError):
        if letter.delivery.partition.topic.endswith(REQUESTS):
            request = notification_pb2.NotificationRequest.FromString(value)
            # What a person is to read alone, such as a code to log in with.
            request.texts.update(dict.fromkeys(request.texts, HIDDEN))
            if request.ListFields():
                return "request", logs.redact(json_format.MessageToJson(request))
        else:
            event = event_pb2.Event.FromString(value)
            if event.id:
                return "event", logs.redact(json_format.MessageToJson(event))
    return BYTES, _text(letter.delivery.value)


def _text(value: bytes | None) -> str:
    """Bytes as text, masked before it is cut: a half of a card number would not be found."""
    if value is None:
        return ""
    shown = logs.redact(value.decode("utf-8", errors="backslashreplace"))
    return shown if len(shown) <= TEXT_LENGTH_MAX else f"{shown[:TEXT_LENGTH_MAX]} ..."
