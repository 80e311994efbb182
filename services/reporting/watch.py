"""How new the projection is: everything that the topics had up to a time has been taken in.

Asked of the brokers, which know what is there and what the group has finished. A partition with
constant traffic is never read to its end: it is complete up to a look at its end once what lay
before that end is finished.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import structlog

from kit import metrics
from processor.consumers.delivery import Partition

LOOK_SECONDS: Final = 2.0
"""Between two looks, each of which is two requests to the brokers."""

log = structlog.get_logger()


class Away(Exception):
    """The brokers cannot be asked now; the text is for people."""


class Look(NamedTuple):
    """What the brokers say: where partitions end, and up to where the group has finished them."""

    ends: Mapping[Partition, int]
    finished: Mapping[Partition, int]


class Brokers(Protocol):
    """Who is asked."""

    async def look(self) -> Look:
        """Raises Away."""


class Seen(NamedTuple):
    """The end of a partition as it was at a time, in s since 1970."""

    end: int
    at: float


class Completeness:
    """Follows looks; pure but for what it remembers."""

    def __init__(self) -> None:
        self._waiting: dict[Partition, Seen] = {}
        self._complete: dict[Partition, float] = {}

    def add(self, look: Look, at: float) -> None:
        """Take in what was seen by a look that began at a time."""
        for partition, end in look.ends.items():
            finished = look.finished.get(partition, 0)
            if finished >= end:
                self._complete[partition] = at
                self._waiting.pop(partition, None)
                continue
            waiting = self._waiting.get(partition)
            if waiting is not None and finished >= waiting.end:
                self._complete[partition] = waiting.at
                waiting = None
            if waiting is None:
                self._waiting[partition] = Seen(end, at)
            self._complete.setdefault(partition, 0.0)
        for gone in self._complete.keys() - look.ends.keys():
            del self._complete[gone]
            self._waiting.pop(gone, None)

    @property
    def complete_at(self) -> float:
        """Up to when everything is taken in, in s since 1970; 0 while that is not known."""
        return min(self._complete.values(), default=0.0)


class Watch:
    """Looks at the brokers for as long as the service runs."""

    def __init__(self, brokers: Brokers, seconds: float = LOOK_SECONDS) -> None:
        self._brokers = brokers
        self._seconds = seconds
        self._completeness = Completeness()
        self._trouble = ""

    @property
    def complete_at(self) -> float:
        """Up to when everything is taken in, in s since 1970; 0 while that is not known."""
        return self._completeness.complete_at

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            at = time.time()
            try:
                self._completeness.add(await self._brokers.look(), at)
                self._note("")
            except Away as away:
                self._note(str(away))
            metrics.REPORTING_COMPLETE.set(self.complete_at)
            await asyncio.sleep(self._seconds)

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.warning("reporting_watch_trouble", trouble=trouble)
        self._trouble = trouble


def partitions_of(topics: Mapping[str, int], prefix: str, names: Sequence[str]) -> list[Partition]:
    """Return the partitions of topics, by the number that each topic has."""
    return [
        Partition(prefix + name, number)
        for name in names
        for number in range(topics.get(prefix + name, 0))
    ]
