"""What was read and is not done: by partition in order, by key one after the other. Pure."""

from collections import deque
from collections.abc import Iterable, Set
from typing import Generic, TypeVar

from gateway.intake.ports import Delivery
from gateway.intake.reading import Command, Unreadable

Place = TypeVar("Place")


class Item(Generic[Place]):
    """A record in hand."""

    __slots__ = (
        *("delivery", "errors", "is_done", "is_dropped", "is_refused", "is_stored"),
        *("outcome", "read", "sent_at", "tries"),
    )

    def __init__(self, delivery: Delivery[Place], read: Command | Unreadable) -> None:
        self.delivery = delivery
        self.read = read
        self.outcome = b""  # CommandOutcome, serialized, once it is known.
        self.is_refused = False
        self.is_stored = False  # The outcome was found in the store.
        self.tries = 0
        self.errors = 0
        self.sent_at = 0.0
        self.is_done = False
        self.is_dropped = False  # Its partition is another member's now.

    @property
    def size(self) -> int:
        """Bytes of the record."""
        return len(self.delivery.value or b"")


class Hand(Generic[Place]):
    """Bounded by whoever adds to it: `count` and `size` are of all that is not done."""

    def __init__(self) -> None:
        self._partitions: dict[Place, deque[Item[Place]]] = {}
        # By the key that orders commands, those behind the one that is under way.
        self._chains: dict[tuple[str, str], deque[Item[Place]]] = {}
        self.count = 0
        self.size = 0

    def add(self, items: Iterable[Item[Place]]) -> None:
        """Take what was delivered, in the order of each partition."""
        for item in items:
            self._partitions.setdefault(item.delivery.partition, deque()).append(item)
            self.count += 1
            self.size += item.size

    def done(self, item: Item[Place]) -> None:
        """Note that a record has its outcome, or is parked."""
        if not item.is_done:
            item.is_done = True
            if not item.is_dropped:
                self.count -= 1
                self.size -= item.size

    def advance(self) -> dict[Place, Item[Place]]:
        """Return the last of those up to which all is done, of partitions where that moved."""
        moved: dict[Place, Item[Place]] = {}
        for place, items in self._partitions.items():
            last = None
            while items and items[0].is_done:
                last = items.popleft()
            if last is not None:
                moved[place] = last
        return moved

    def oldest_ms(self) -> int:
        """Return when the oldest command was accepted that is not done; 0 without any."""
        fronts = (items[0].read for items in self._partitions.values() if items)
        return min((read.accepted_ms for read in fronts if isinstance(read, Command)), default=0)

    def drop_all(self) -> None:
        """Forget everything: there is no group any more that says whose it is."""
        self.drop(frozenset(self._partitions))

    def drop(self, places: Set[Place]) -> None:
        """Forget what is of partitions that others have now: they get it delivered."""
        for place in places:
            for item in self._partitions.pop(place, ()):
                item.is_dropped = True
                if not item.is_done:
                    self.count -= 1
                    self.size -= item.size

    # One command of a key at a time.

    def begin(self, item: Item[Place]) -> bool:
        """Say whether a command may go now; else it waits behind those of its key."""
        key = _key(item)
        chain = self._chains.get(key)
        if chain is None:
            self._chains[key] = deque()
            return True
        chain.append(item)
        return False

    def end(self, item: Item[Place]) -> Item[Place] | None:
        """The command that was under way has its outcome: return the next one of its key."""
        key = _key(item)
        chain = self._chains[key]
        while chain:
            following = chain.popleft()
            if not following.is_dropped:
                return following
        del self._chains[key]
        return None


def _key(item: Item[Place]) -> tuple[str, str]:
    assert isinstance(item.read, Command)
    return item.read.caller.principal.tenant_id, item.read.asked.order_key
