"""A broker in memory: a log per partition, one member, offsets that are committed, dead letters.

It does what `ports.Source` and `ports.Parking` promise, and lets a test take partitions away or
fail at a chosen moment. What Kafka itself does is looked at in test_kafka.py.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence, Set

from processor.consumers.delivery import Delivery, Headers, Partition
from processor.consumers.letters import Letter
from processor.consumers.ports import Polled, SourceLost
from tests.consumers.events import Sent

IDLE_SECONDS = 0.005


class MemoryBroker:
    """Partitions with their records, and what was committed of each."""

    def __init__(self, topic: str = "payments", partitions: int = 1) -> None:
        self.logs: dict[Partition, list[Delivery]] = {
            Partition(topic, number): [] for number in range(partitions)
        }
        self.committed: dict[Partition, int] = {}
        self.letters: list[Letter] = []
        self.parking_problem = ""
        self.polls: list[Set[Partition]] = []
        """What was to be left alone, by poll."""
        self.to_take_away: set[Partition] = set()
        self.is_lost = False
        self.opened = 0

    def publish(self, sent: Sent, partition: int = 0) -> None:
        """Append a record."""
        [topic] = {name.topic for name in self.logs}
        self.append(Partition(topic, partition), sent.key, sent.value, sent.headers)

    def append(
        self, partition: Partition, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        """Append whatever there is."""
        log = self.logs[partition]
        log.append(Delivery(partition, len(log), key, value, headers, time.time()))

    async def open(self) -> "MemorySource":
        """Open a member, which has all partitions."""
        self.opened += 1
        return MemorySource(self)

    async def park(self, letters: Sequence[Letter]) -> Sequence[str]:
        if not self.parking_problem:
            self.letters += letters
        return [self.parking_problem] * len(letters)

    async def close(self) -> None:
        """Nothing is held."""


class MemorySource:
    """The one member."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._owned = set(broker.logs)
        self._next = {name: broker.committed.get(name, 0) for name in broker.logs}
        self._finished: dict[Partition, int] = {}

    @property
    def owned(self) -> Set[Partition]:
        return frozenset(self._owned)

    async def poll(self, count_max: int, seconds_max: float, paused: Set[Partition]) -> Polled:
        broker = self._broker
        if broker.is_lost:
            broker.is_lost = False
            raise SourceLost("of this test")
        self._commit()
        gone = frozenset(broker.to_take_away)
        broker.to_take_away.clear()
        for partition in gone:
            # Taken away and given back at once: from what is committed.
            self._finished.pop(partition, None)
            self._next[partition] = broker.committed.get(partition, 0)
        broker.polls.append(frozenset(paused))
        found: list[Delivery] = []
        for partition in sorted(self._owned - paused):
            start = self._next[partition]
            found += broker.logs[partition][start : start + count_max - len(found)]
            self._next[partition] = start + sum(one.partition == partition for one in found)
        if not found:
            await asyncio.sleep(min(seconds_max, IDLE_SECONDS))
        lags = {name: len(log) - self._next[name] for name, log in broker.logs.items()}
        return Polled(found, gone, lags)

    def finish(self, positions: Mapping[Partition, int]) -> None:
        assert positions.keys() <= self._owned
        self._finished |= positions

    async def close(self) -> None:
        self._commit()
        self._owned.clear()

    def _commit(self) -> None:
        for partition, offset in self._finished.items():
            assert offset >= self._broker.committed.get(partition, 0)
        self._broker.committed |= self._finished
        self._finished.clear()
