"""Journals and topics in memory, as a rebuild reads them."""

from collections.abc import AsyncIterator, Iterator, Sequence

from processor.consumers.delivery import Delivery, Partition
from services.reporting.bodies import JournalRow
from services.reporting.rebuild import Head
from services.reporting.records import Place
from tender.v1 import event_pb2

PART = 7


class MemoryJournal:
    """A journal up to some row."""

    def __init__(self, shard: str, rows: Sequence[JournalRow]) -> None:
        self.shard = shard
        self._rows = rows

    async def head(self) -> Head | None:
        if not self._rows:
            return None
        last = self._rows[-1]
        place = Place(last.shard, last.incarnation, last.seq, last.created_at)
        return Head(place, last.created_at)

    async def rows(self, through: int) -> AsyncIterator[Sequence[JournalRow]]:
        kept = [row for row in self._rows if row.seq <= through]
        for start in range(0, len(kept), PART):
            yield kept[start : start + PART]


class MemoryTopics:
    """Topics that hold all of some events, whatever time they are asked from."""

    def __init__(self, events: Sequence[event_pb2.Event]) -> None:
        self.events = list(events)
        self.since = 0.0
        self._read = 0

    def open(self, since: float) -> "MemoryTopics":
        self.since = since
        return self

    def left(self) -> int:
        return len(self.events) - self._read

    def close(self) -> None:
        """There is nothing to let go of."""

    def read(self) -> Iterator[Sequence[Delivery]]:
        while self._read < len(self.events):
            part = self.events[self._read : self._read + PART]
            self._read += len(part)
            yield [
                Delivery(Partition("t", 0), 0, b"", event.SerializeToString(), (), 0.0)
                for event in part
            ]
