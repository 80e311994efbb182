"""What a consumer gets: a record as it was delivered, and the event in it or why there is none."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from google.protobuf.message import DecodeError

from tender.v1 import event_pb2

EVENT_ID_LENGTH_MAX: Final = 255
"""As the inbox takes them."""
SCHEMA_HEADER: Final = "schema-version"

MALFORMED: Final = "MALFORMED"
UNKNOWN_VERSION: Final = "UNKNOWN_VERSION"
UNKNOWN_TYPE: Final = "UNKNOWN_TYPE"

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
Message = TypeVar("Message")


class Partition(NamedTuple):
    """A partition of a topic, by the topic's whole name: with the prefix, if there is one."""

    topic: str
    number: int


class Delivery(NamedTuple):
    """A record as the broker has it."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: float
    """When it was published, in s since 1970; 0 if the broker does not say."""


class Readable(NamedTuple, Generic[Message]):
    """What was read of a delivery."""

    id: str
    """The same for every delivery of the same thing."""
    message: Message
    created_at: float
    """When it happened, in s since 1970."""


class Unreadable(NamedTuple):
    """Why a delivery cannot be read by this version. The text shows nothing of its content."""

    cause: str
    text: str


Reader: TypeAlias = Callable[[Delivery], Readable[Message] | Unreadable]


@dataclass(frozen=True)
class EventReader:
    """Reads events of the schema versions and types that a handler knows.

    It knows a type also if it does nothing for it. A type that is in no list of it came with a
    later version of Tender: parked, it is handled after the upgrade, and skipped it would be lost.
    """

    schema_versions: Set[int]
    types: Set[str] | None = None
    """None for a reader that takes every type, and decides by itself what it does for each."""

    def __call__(self, delivery: Delivery) -> Readable[event_pb2.Event] | Unreadable:
        # Told by the header, for of an unknown version nothing may be parsed at all.
        version = _header(delivery, SCHEMA_HEADER)
        if version is not None and not self._knows(version):
            return Unreadable(UNKNOWN_VERSION, "its schema version is not known here")
        if not delivery.value:
            return Unreadable(MALFORMED, "it is empty")
        event = event_pb2.Event()
        try:
            event.ParseFromString(delivery.value)
        except DecodeError:
            return Unreadable(MALFORMED, "its bytes are no tender.v1.Event")
        if not 0 < len(event.id) <= EVENT_ID_LENGTH_MAX or "\0" in event.id:
            return Unreadable(MALFORMED, "its id is missing, or is none")
        if event.schema_version not in self.schema_versions:
            return Unreadable(UNKNOWN_VERSION, "its schema version is not known here")
        if not event.type or (self.types is not None and event.type not in self.types):
            return Unreadable(UNKNOWN_TYPE, "its type is not known here")
        created_at = event.create_time.seconds + event.create_time.nanos / 1e9
        return Readable(event.id, event, created_at)

    def _knows(self, version: bytes) -> bool:
        # Not int(): that takes "+1", " 1" and digits of every script.
        return version in {b"%d" % known for known in self.schema_versions}


def _header(delivery: Delivery, name: str) -> bytes | None:
    return next((value for key, value in delivery.headers if key == name), None)
