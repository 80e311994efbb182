"""Journal rows as the relay reads them, and what they say, parsed."""

from collections.abc import Iterable, Sequence

from processor.events.messages import told_of
from processor.events.ports import Message, Row
from storage.memory import Database
from tender.v1 import event_pb2


def rows_of(database: Database, shard: str = "s1") -> Sequence[Row]:
    """Return the journal of a shard in memory."""
    assert database.ownership is not None
    incarnation = database.ownership.incarnation
    return [Row(shard, incarnation, one.seq, one.body, one.now) for one in database.journal]


def messages_of(rows: Iterable[Row]) -> list[Message]:
    """Return all that rows say, in order."""
    return [message for row in rows for message in told_of(row).messages]


def parsed(messages: Iterable[Message]) -> list[event_pb2.Event]:
    """Return the events of messages."""
    return [event_pb2.Event.FromString(value) for _, _, value, _ in messages]
