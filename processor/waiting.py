"""Where commands wait until what they need is in memory, in the order that must be kept (R9)."""

from collections import deque
from collections.abc import Callable, Iterator

from processor.cache import Cache
from processor.domain import commands, needs
from processor.domain.view import Item
from processor.entries import IN_PROGRESS, QUEUE_FULL, Entry
from processor.ports import Loaded


class WaitingRoom:
    """Bounded. A cold load stalls only the commands behind it on the same payment or account.

    A second call with a request_id that is being worked on waits here for the first, so one
    request never stands twice in a batch.
    """

    def __init__(
        self,
        cache: Cache,
        place: needs.Place,
        now: Callable[[], int],
        *,
        commands_max: int,
        bytes_max: int,
    ) -> None:
        self._cache = cache
        self._place = place
        self._now = now
        self._commands_max = commands_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._entries: dict[Entry, None] = {}
        self._leaders: dict[tuple[str, str], Entry] = {}
        self._followers: dict[tuple[str, str], list[Entry]] = {}
        self._chains: dict[str, deque[Entry]] = {}
        self._ready: deque[Entry] = deque()
        self._wanted: dict[Item, None] = {}
        self._waiters: dict[Item, list[Entry]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries))

    @property
    def has_ready(self) -> bool:
        """Whether a batch could start."""
        return bool(self._ready)

    @property
    def wants_loads(self) -> bool:
        """Whether items wait to be loaded."""
        return bool(self._wanted)

    def admit(self, entry: Entry) -> None:
        """Take a command in, or reply at once that the queue is full."""
        if len(self._entries) >= self._commands_max or self._bytes + entry.size > self._bytes_max:
            entry.reply(QUEUE_FULL)
            return
        self._entries[entry] = None
        self._bytes += entry.size
        self._line_up(entry)

    def take(self, count_max: int, bytes_max: int) -> list[Entry]:
        """Return the next commands to decide, oldest first, at least one if any is ready."""
        taken: list[Entry] = []
        size = 0
        while self._ready and len(taken) < count_max:
            size += self._ready[0].size
            if taken and size > bytes_max:
                break
            taken.append(self._ready.popleft())
        return taken

    def wanted(self, count_max: int) -> list[Item]:
        """Return items to load now; each is given out once."""
        items = list(self._wanted)[:count_max]
        for item in items:
            del self._wanted[item]
        return items

    def loaded(self, items: list[Item], loaded: Loaded) -> None:
        """Go on with the commands that waited for these items."""
        self._cache.absorb(loaded)
        for item in items:
            for entry in self._waiters.pop(item, ()):
                entry.awaiting -= 1
                if entry.awaiting == 0 and entry in self._entries:
                    self._advance(entry)

    def again(self, entry: Entry) -> None:
        """Take a command back that needs more than it did when it became ready, before others."""
        key = self._order_key(entry)
        if key:
            self._chains.setdefault(key, deque()).appendleft(entry)
        self._advance(entry)

    def leave(self, entry: Entry) -> None:
        """Forget a command that has its reply, and let those go on that waited for it."""
        del self._entries[entry]
        self._bytes -= entry.size
        key = entry.request_key
        if key is not None and self._leaders.get(key) is entry:
            del self._leaders[key]
            for follower in self._followers.pop(key, ()):
                if follower in self._entries:
                    self._line_up(follower)

    def restart(self) -> None:
        """Begin anew with every command, in the order of arrival: the cache is empty again."""
        self._leaders.clear()
        self._followers.clear()
        self._chains.clear()
        self._ready.clear()
        self._wanted.clear()
        self._waiters.clear()
        for entry in self._entries:
            entry.awaiting = 0
        for entry in list(self._entries):
            self._line_up(entry)

    def give_up_followers(self, now: float) -> None:
        """Tell second calls whose deadline is near that the first is still running."""
        for key, followers in list(self._followers.items()):
            late = [entry for entry in followers if entry.deadline <= now]
            for entry in late:
                followers.remove(entry)
                self.leave(entry)
                entry.reply(IN_PROGRESS)
            if not followers:
                del self._followers[key]

    def needed(self) -> Iterator[Item]:
        """Yield all that waiting commands need; the cache must not evict it."""
        for entry in self._entries:
            yield from needs.needed(entry.command, self._cache, self._place)

    def _line_up(self, entry: Entry) -> None:
        key = entry.request_key
        if key is not None and self._cache.key(*key) is None:
            if key in self._leaders:
                self._followers.setdefault(key, []).append(entry)
                return
            self._leaders[key] = entry
        order_key = self._order_key(entry)
        if order_key:
            self._chains.setdefault(order_key, deque()).append(entry)
        self._advance(entry)

    def _advance(self, entry: Entry) -> None:
        missing = needs.missing(entry.command, self._cache, self._place, self._now())
        if missing:
            for item in missing:
                if item not in self._waiters:
                    self._waiters[item] = []
                    self._wanted[item] = None
                self._waiters[item].append(entry)
            entry.awaiting += len(missing)
            return
        order_key = self._order_key(entry)
        if not order_key:
            self._ready.append(entry)
            return
        chain = self._chains[order_key]
        while chain and chain[0] is entry:
            self._ready.append(chain.popleft())
            if chain and chain[0].awaiting == 0:
                entry = chain[0]
                missing = needs.missing(entry.command, self._cache, self._place, self._now())
                if missing:
                    self._advance(entry)
                    return
        if not chain:
            del self._chains[order_key]

    def _order_key(self, entry: Entry) -> str:
        command = entry.command
        if isinstance(command, commands.ExpireHolds | commands.DeleteRequestKeys):
            return ""
        return needs.order_key(command)
