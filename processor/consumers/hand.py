"""What a consumer has in hand: which records are tried next, and which one is to blame.

Pure: time is an argument. Records of a partition stay in their order; those of different partitions
have none between them.
"""

from collections import deque
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

from processor.consumers.delivery import Delivery, Partition, Readable, Unreadable

Message = TypeVar("Message")

PORTION_MAX: Final = 500
"""Records in one transaction: enough to make its commit cheap, few enough for some milliseconds."""


@dataclass(slots=True, eq=False)
class Item(Generic[Message]):
    """A record in hand."""

    delivery: Delivery
    read: Readable[Message] | Unreadable
    attempts: int = 0
    """How often it failed when it was tried by itself."""
    first_failed_at: float = 0.0
    """In s since 1970."""
    parked: bool = False

    @property
    def partition(self) -> Partition:
        """Where it is from."""
        return self.delivery.partition


@dataclass(slots=True)
class _Held(Generic[Message]):
    items: deque[Item[Message]]
    until: float


class Hand(Generic[Message]):
    """Records that were delivered and are not done with.

    When a portion fails, the one to blame is found by halves: `_suspects` is how many records at
    the front are known to have it among them. What failed by itself is tried by itself from then
    on, and while it waits its partition is held with all that follows.
    """

    def __init__(self, portion_max: int = PORTION_MAX) -> None:
        self._portion_max = portion_max
        self._ready: deque[Item[Message]] = deque()
        self._held: dict[Partition, _Held[Message]] = {}
        self._suspects = 0

    def __len__(self) -> int:
        return len(self._ready) + sum(len(one.items) for one in self._held.values())

    @property
    def is_ready(self) -> bool:
        """Whether there is something to try now."""
        return bool(self._ready)

    @property
    def held(self) -> Set[Partition]:
        """The partitions that wait."""
        return self._held.keys()

    @property
    def next_release(self) -> float | None:
        """When the first partition has waited long enough; None if none waits."""
        return min((one.until for one in self._held.values()), default=None)

    def add(self, items: Iterable[Item[Message]]) -> None:
        """Take what was delivered."""
        for item in items:
            held = self._held.get(item.partition)
            (self._ready if held is None else held.items).append(item)

    def portion(self) -> Sequence[Item[Message]]:
        """Return what to try next, at the front of what is ready; empty if nothing is."""
        count = self._portion_max
        if self._suspects:
            count = max(1, self._suspects // 2)
        portion: list[Item[Message]] = []
        for item in islice(self._ready, count):
            if item.attempts and portion:
                break
            portion.append(item)
            if item.attempts:
                break
        return portion

    def done(self, portion: Sequence[Item[Message]]) -> None:
        """Forget the portion: it had its effect, or is parked."""
        for item in portion:
            first = self._ready.popleft()
            assert first is item, "a portion is the front of what is ready"
        self._suspects = max(0, self._suspects - len(portion))

    def failed(self, portion: Sequence[Item[Message]]) -> Item[Message] | None:
        """Return the record to blame once it is found; until then portions get smaller."""
        if len(portion) == 1:
            self._suspects = 0
            return portion[0]
        self._suspects = len(portion)
        return None

    def hold(self, partition: Partition, until: float) -> None:
        """Try nothing of a partition before a time."""
        held = self._held.get(partition)
        if held is not None:
            held.until = until
            return
        waiting = deque(item for item in self._ready if item.partition == partition)
        self._ready = deque(item for item in self._ready if item.partition != partition)
        self._held[partition] = _Held(waiting, until)
        self._suspects = 0

    def release(self, now: float) -> None:
        """Take partitions up again that have waited long enough."""
        for partition in [name for name, one in self._held.items() if one.until <= now]:
            self._ready.extend(self._held.pop(partition).items)

    def drop(self, partitions: Set[Partition]) -> None:
        """Forget what is of partitions that others have now: they get it delivered."""
        if not partitions:
            return
        self._ready = deque(item for item in self._ready if item.partition not in partitions)
        for partition in partitions:
            self._held.pop(partition, None)
        self._suspects = 0


def positions(items: Iterable[Item[Message]]) -> dict[Partition, int]:
    """Return the offset that follows the last of these in each partition."""
    found: dict[Partition, int] = {}
    for item in items:
        found[item.partition] = max(item.delivery.offset + 1, found.get(item.partition, 0))
    return found
