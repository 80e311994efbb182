"""Events for consumers to handle, and a handler whose effects can be counted."""

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

import asyncpg

from processor.consumers.delivery import EventReader, Headers
from processor.consumers.handlers import Refused
from tender.v1 import event_pb2

SCHEMA_VERSION: Final = 1
TYPES: Final = frozenset({"payment_authorized", "payment_captured"})
READ: Final = EventReader(frozenset({SCHEMA_VERSION}), TYPES)
EFFECTS: Final = """
CREATE TABLE effects (
    place      bigserial  PRIMARY KEY,
    event_id   text       NOT NULL,
    entity_id  text       NOT NULL,
    version    bigint     NOT NULL CONSTRAINT effects_version_is_no_poison CHECK (version <> 6666)
)
"""
"""Nothing keeps an event from having its effect twice: that is what is looked for."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Sent(NamedTuple):
    """An event as it is sent."""

    key: bytes
    value: bytes
    headers: Headers


def event(
    number: int,
    *,
    entity: str = "pay_1",
    type: str = "payment_captured",
    schema_version: int = SCHEMA_VERSION,
    shard: str = "s1",
) -> event_pb2.Event:
    """Return the event of a commit of that number, which is the entity's version too."""
    made = event_pb2.Event(
        id=f"{shard}.abc.{number}.0",
        type=type,
        schema_version=schema_version,
        tenant_id="dev",
        shard=shard,
        incarnation="abc",
        seq=number,
        entity_id=entity,
        version=number,
    )
    made.create_time.GetCurrentTime()
    return made


def sent(of: event_pb2.Event) -> Sent:
    """Return an event as the relay sends it."""
    headers = [
        ("event-id", of.id.encode()),
        ("event-type", of.type.encode()),
        ("schema-version", str(of.schema_version).encode()),
    ]
    return Sent(of.entity_id.encode(), of.SerializeToString(), headers)


@dataclass
class Bookkeeper:
    """Writes a row for each event. Stumbles where it is told to."""

    name: str = "bookkeeper"
    topics: Sequence[str] = ("payments",)
    bugs: Set[str] = field(default_factory=frozenset)
    """Ids at which it fails as code does that has a mistake."""
    refused: Collection[str] = ()
    """Ids that it refuses for good."""
    calls: int = 0

    async def handle(self, messages: Sequence[event_pb2.Event], transaction: Connection) -> None:
        self.calls += 1
        for message in messages:
            if message.id in self.bugs:
                raise LookupError(f"no such thing in {message}")
            if message.id in self.refused:
                raise Refused("TEMPLATE_MISSING", "there is no template for it")
        await transaction.executemany(
            "INSERT INTO effects (event_id, entity_id, version) VALUES ($1, $2, $3)",
            [(message.id, message.entity_id, message.version) for message in messages],
        )
