"""What the loop needs of brokers and databases, and how they say no. Implemented in `storage`."""

from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeVar

from processor.consumers.delivery import Delivery, Partition
from processor.consumers.letters import Letter

Transaction = TypeVar("Transaction", covariant=True)


class DependencyDown(Exception):
    """Something that every event needs is away; no event is to blame. The text may be shown."""


class TryAgain(Exception):
    """It did not go this time, for instance because two transactions were in each other's way."""


class Rejected(Exception):
    """The database refused what was written for an event. The text shows no content of rows."""


class SourceLost(Exception):
    """The source is of no use any more; another one has to be opened in its place."""


class Polled(NamedTuple):
    """What came of a poll."""

    deliveries: Sequence[Delivery]
    """In the order of each partition."""
    gone: Set[Partition]
    """Partitions that were taken away since the last poll; they may be among the owned again."""
    lags: Mapping[Partition, int]
    """By owned partition, how many records follow what was delivered, as far as that is known."""
    problem: str = ""
    """What the broker has against us, while it may mend; shows no content."""


class Source(Protocol):
    """A member of a consumer group. Partitions come and go during `poll` and `close` alone."""

    @property
    def owned(self) -> Set[Partition]:
        """The partitions that this member has."""

    async def poll(self, count_max: int, seconds_max: float, paused: Set[Partition]) -> Polled:
        """Return what there is, at once if there is anything; nothing of paused partitions.

        It has to be called at least every few seconds, or the group goes on without this member.
        Raises SourceLost.
        """

    def finish(self, positions: Mapping[Partition, int]) -> None:
        """Note, by partition, the offset of the first record that has not had its effect yet.

        It is committed soon, at the latest when the partition is given up; never once it is gone.
        """

    async def close(self) -> None:
        """Commit what is finished and leave the group."""


class Inbox(Protocol[Transaction]):
    """Remembers which events had their effect, in the database of that effect."""

    def batch(
        self, consumer: str, event_ids: Sequence[str]
    ) -> AbstractAsyncContextManager[tuple[Transaction, Set[str]]]:
        """Open a transaction and return it with those ids that had no effect yet.

        They are noted in it: at the end of the block effect and ids are committed, or neither is
        if the block raises. Raises DependencyDown, TryAgain or Rejected, also in the place of what
        the database raised within the block.
        """

    async def forget(self, consumer: str, limit: int) -> int:
        """Delete at most `limit` ids that are past their retention, and return how many.

        Raises DependencyDown or TryAgain.
        """

    async def close(self) -> None:
        """Give the connection back."""


class Parking(Protocol):
    """Where events go that cannot be handled: the dead-letter queue."""

    async def park(self, letters: Sequence[Letter]) -> Sequence[str]:
        """Store letters, each in its topic, durably; return for each why not, empty if it is."""

    async def close(self) -> None:
        """Give the connection back."""
