"""Where commands wait until what they need is in memory, in the order that must be kept (R9)."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from processor.admission import Admission
from processor.cache import Cache
from processor.domain import needs
from processor.domain.view import Item
from processor.entries import IN_PROGRESS, QUEUE_FULL, Entry
from processor.ports import Loaded

KEYS_TAKEN_SECONDS: Final = 1.0
"""Keys are looked up for so long after a repeated request that was not in memory; so such a one
fails a batch once in that time."""
BACKGROUND_COMMANDS_MAX: Final = 2_000
BACKGROUND_BYTES_MAX: Final = 8 << 20
"""What background commands may take beside the queue of all others, which they never shorten: some
tenths of a second of work. Their senders keep the rest."""
IN_PROGRESS_MARGIN_SECONDS: Final = 0.05
"""Second calls are told this long before their deadline that the first is still running."""


class WaitingRoom:
    """Bounded. A cold load stalls only the commands behind it on the same payment or account.

    A second call with a request_id that is being worked on waits here for the first, so one
    request never stands twice in a batch.

    Background commands wait apart once they are ready, and count apart, so that they take no room
    from others. One that a single call's request_id waits for goes with the others.

    With `loads_keys` a command waits until its request key was looked up. Without it a key that is
    not in memory is taken to be new, which the database checks when it is stored.
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
        self.place = place
        self._now = now
        self._admission = Admission(commands_max)
        self._ticked_at = time.monotonic()
        self._bytes_max = bytes_max
        self.loads_keys = False
        self._loads_keys_until = 0.0
        self._bytes = 0
        self._entries: dict[Entry, None] = {}
        self._leaders: dict[tuple[str, str], Entry] = {}
        self._followers: dict[tuple[str, str], list[Entry]] = {}
        # By order key, and only while a command of that key waits for a load.
        self._chains: dict[str, deque[Entry]] = {}
        self._ready: deque[Entry] = deque()
        self._background: deque[Entry] = deque()
        self._background_count = 0
        self._background_bytes = 0
        self._wanted: dict[Item, None] = {}
        self._waiters: dict[Item, list[Entry]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries))

    @property
    def has_ready(self) -> bool:
        """Whether a command can be decided."""
        return bool(self._ready) or bool(self._background)

    @property
    def has_urgent(self) -> bool:
        """Whether a command can be decided that is not of the background."""
        return bool(self._ready)

    @property
    def has_background(self) -> bool:
        """Whether a background command can be decided."""
        return bool(self._background)

    @property
    def background_count(self) -> int:
        """How many background commands are here."""
        return self._background_count

    @property
    def wants_loads(self) -> bool:
        """Whether items wait to be loaded."""
        return bool(self._wanted)

    def admit(self, entry: Entry) -> None:
        """Take a command in, or reply at once that the queue is full."""
        self.admit_all((entry,))

    def admit_all(self, entries: Sequence[Entry]) -> None:
        """Take commands in that came together, in their order, or reply that the queue is full.

        Behind a bulk command that was refused no other one is taken: it would overtake that one.
        """
        now = self._now()
        bulk_refused = False
        for entry in entries:
            if (entry.bulk and bulk_refused) or not self._has_room(entry):
                bulk_refused = bulk_refused or entry.bulk
                entry.reply(QUEUE_FULL)
                continue
            if entry.background:
                self._background_count += 1
                self._background_bytes += entry.size
            else:
                self._bytes += entry.size
            self._entries[entry] = None
            self._line_up(entry, now)

    def _has_room(self, entry: Entry) -> bool:
        if entry.background:
            return (
                self._background_count < BACKGROUND_COMMANDS_MAX
                and self._background_bytes + entry.size <= BACKGROUND_BYTES_MAX
            )
        return self._bytes + entry.size <= self._bytes_max and self._admission.admits(
            entry, len(self._entries) - self._background_count
        )

    def take(self, count_max: int, bytes_max: int, background_max: int = 0) -> list[Entry]:
        """Return the next commands to decide, oldest first, at least one if any is ready.

        Of the background at most so many, behind all others.
        """
        taken: list[Entry] = []
        size = 0
        while self._ready and len(taken) < count_max:
            size += self._ready[0].size
            if taken and size > bytes_max:
                return taken
            taken.append(self._ready.popleft())
        if background_max and self._background:
            count_max = min(count_max, len(taken) + background_max)
            while self._background and len(taken) < count_max:
                size += self._background[0].size
                if taken and size > bytes_max:
                    break
                taken.append(self._background.popleft())
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
        now = self._now()
        for item in items:
            is_stored = item.kind == "key" and loaded.values[item] is not None
            for entry in self._waiters.pop(item, ()):
                if is_stored and entry.request_key == (item.tenant_id, item.id):
                    # Where one old request is repeated, more may be. A reversal's original and
                    # old keys to delete say nothing of the kind.
                    self.load_keys_for(KEYS_TAKEN_SECONDS)
                entry.awaiting -= 1
                if entry.awaiting == 0 and entry in self._entries:
                    self._advance(entry, now)

    def leave(self, entry: Entry) -> None:
        """Forget a command that has its reply, and let those go on that waited for it."""
        del self._entries[entry]
        self._admission.finished(1)
        if entry.background:
            self._background_count -= 1
            self._background_bytes -= entry.size
        else:
            self._bytes -= entry.size
        key = entry.request_key
        if key is not None and self._leaders.get(key) is entry:
            del self._leaders[key]
            if self._followers:
                for follower in self._followers.pop(key, ()):
                    if follower in self._entries:
                        self._line_up(follower, self._now())

    def restart(self) -> None:
        """Begin anew, in the order of arrival, with every command that is in no batch."""
        self._leaders.clear()
        self._followers.clear()
        self._chains.clear()
        self._ready.clear()
        self._background.clear()
        self._wanted.clear()
        self._waiters.clear()
        for entry in self._entries:
            entry.awaiting = 0
            if entry.decided and entry.request_key is not None:
                self._leaders[entry.request_key] = entry
        now = self._now()
        for entry in list(self._entries):
            if not entry.decided:
                self._line_up(entry, now)

    def load_keys_for(self, seconds: float) -> None:
        """Look every request key up for a while, instead of taking it to be new."""
        self._loads_keys_until = max(self._loads_keys_until, time.monotonic() + seconds)
        self.loads_keys = True

    def tick(self, now: float) -> None:
        """Let go what time ends; give the monotonic time in seconds."""
        self.loads_keys = now < self._loads_keys_until
        waiting = len(self._entries) - self._background_count
        self._admission.measure(now - self._ticked_at, waiting)
        self._ticked_at = now
        if self._followers:
            self._give_up_followers(now + IN_PROGRESS_MARGIN_SECONDS)

    def _give_up_followers(self, now: float) -> None:
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
            yield from needs.needed(entry.command, self._cache, self.place)

    def is_ready(self, entry: Entry, now: int) -> bool:
        """Say whether all that a command needs is in memory and no hold it meets is due.

        False says nothing: ask `missing`.
        """
        return needs.is_ready(entry.command, self._cache, self.place, now, own_key=self.loads_keys)

    def missing(self, entry: Entry, now: int) -> list[Item]:
        """Return what a command needs and the cache does not know yet."""
        return needs.missing(entry.command, self._cache, self.place, now, own_key=self.loads_keys)

    def _line_up(self, entry: Entry, now: int) -> None:
        key = entry.request_key
        if key is not None:
            if key in self._leaders:
                self._followers.setdefault(key, []).append(entry)
                if not entry.background:
                    self._hurry(self._leaders[key])
                return
            if self._cache.key(*key) is None:
                self._leaders[key] = entry
        if self._chains:
            chain = self._chains.get(entry.order_key)
            if chain is not None:
                chain.append(entry)
                if entry.request_key is None:
                    self._want_ahead(entry, now)
                return
        self._advance(entry, now)

    def _hurry(self, leader: Entry) -> None:
        """Let a background command go with the others, since a caller waits for it now."""
        if leader.background and leader in self._background:
            self._background.remove(leader)
            self._ready.append(leader)

    def _want_ahead(self, entry: Entry, now: int) -> None:
        """Load with others what a leg needs that waits for one before it, not one after another."""
        for item in self.missing(entry, now):
            if item not in self._waiters:
                self._waiters[item] = []
                self._wanted[item] = None

    def _advance(self, entry: Entry, now: int) -> None:
        """Let a command that nothing is before go on, and those behind it as far as they can."""
        while self._goes_on(entry, now):
            chain = self._chains.get(entry.order_key) if self._chains else None
            if chain is None:
                return
            if chain[0] is entry:
                chain.popleft()
            if not chain:
                del self._chains[entry.order_key]
                return
            entry = chain[0]

    def _goes_on(self, entry: Entry, now: int) -> bool:
        if self.is_ready(entry, now) or not (missing := self.missing(entry, now)):
            if entry.background:
                self._background.append(entry)
            else:
                self._ready.append(entry)
            return True
        if entry.order_key:
            chain = self._chains.setdefault(entry.order_key, deque())
            if not chain or chain[0] is not entry:
                chain.appendleft(entry)
        for item in missing:
            if item not in self._waiters:
                self._waiters[item] = []
                self._wanted[item] = None
            self._waiters[item].append(entry)
        entry.awaiting += len(missing)
        return False
