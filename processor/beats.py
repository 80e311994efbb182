"""The three beats of a lane that is held: decide what waits, apply it in one statement, answer.

While one batch is being applied, the next is being decided on top of it. Nothing of it is sent
before its predecessor is committed, so a batch that fails takes only memory along: both are undone,
and what they touched is loaded again.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import structlog

from kit import metrics
from processor.background import Background
from processor.cache import Cache
from processor.clock import LaneClock
from processor.domain import ids, needs
from processor.domain.context import Context
from processor.domain.draft import Changes
from processor.domain.ownership import Buckets, as_mapped, everything, owned_place
from processor.domain.refusals import BadBuckets
from processor.domain.view import Item
from processor.entries import Entry, Reply, internal_error
from processor.openbatch import OpenBatch
from processor.ports import (
    Batch,
    Conflict,
    Fenced,
    KeyTaken,
    LaneStorage,
    Opened,
    Rejected,
    SentLeg,
    Unavailable,
)
from processor.telling import Teller
from processor.waiting import KEYS_TAKEN_SECONDS, WaitingRoom
from processor.work import Decider

BATCH_BYTES_MAX: Final = 1 << 20
BATCH_SECONDS_TARGET: Final = 0.008
"""An apply takes about this long at most (R1); the count that fits is learned."""
BATCH_COUNT_MIN: Final = 300
"""Smaller ones cost more than they save, however busy the machine: 50 took twice the CPU, and 200 a
twentieth more. Only who allows more than these is taught how many fit."""
HEARTBEAT_SECONDS: Final = 1.0
"""An idle lane checks that it still owns the shard this often."""
FAILED_BATCHES_MAX: Final = 3
"""Batches that may fail with a command in them before the command is failed."""

log = structlog.get_logger()

Replies = Sequence[tuple[Entry, Reply]]


def _note_first_buckets(claimed: "asyncio.Future[None]") -> None:
    if not claimed.cancelled() and (error := claimed.exception()) is not None:
        log.warning("buckets_not_claimed", reason=repr(error))


class NewBuckets(NamedTuple):
    """An ownership to commit, and what else is committed with it."""

    buckets: Buckets
    changes: Changes = Changes()


ChangeBuckets = Callable[[Buckets | None, Context], NewBuckets | None]
"""Makes the next ownership from the present one; None to leave it. May raise BadBuckets."""


class _BucketChange(NamedTuple):
    """A change of the ownership, what it needs in memory, and who waits for it."""

    change: ChangeBuckets
    needs: Sequence[Item]
    first: Callable[[], Awaitable[None]] | None
    done: "asyncio.Future[None]"

    def succeed(self) -> None:
        """Tell who waits, if anybody still does."""
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """Tell who waits, if anybody still does."""
        if not self.done.done():
            self.done.set_exception(error)


class Beats:
    """Decides and applies for as long as one takeover lasts."""

    def __init__(
        self,
        storage: LaneStorage,
        cache: Cache,
        room: WaitingRoom,
        place: needs.Place,
        opened: Opened,
        *,
        batch_commands_max: int,
        finish: Callable[[Replies], None],
        signal: Callable[[], None],
        sent: Callable[[Sequence[SentLeg]], None],
        teller: Teller | None = None,
    ) -> None:
        self.clock = LaneClock(opened.clock, opened.last_written_at)
        self.seq, self.head = opened.seq, opened.hash
        self._storage = storage
        self._cache = cache
        self._room = room
        self._buckets = opened.buckets
        self._mapped_place = place
        self._place = self._next_place = owned_place(place, self._buckets)
        self._frozen: frozenset[int] = frozenset()
        self._bucket_changes: deque[_BucketChange] = deque()
        self._meter = metrics.lane_meter(place.shard)
        self._opened = opened
        self._decider = Decider(cache, room, self._place)
        self._decider.buckets = self._buckets
        room.place = self._place
        self._finish = finish
        self._signal = signal
        self._sent = sent
        self._teller = teller
        self._serial = random.SystemRandom().randrange(ids.SERIAL_LIMIT // 2)
        self._batch_commands_max = self._count_max = batch_commands_max
        self._background = Background()
        self._background_waits: asyncio.TimerHandle | None = None
        self._open: OpenBatch | None = None
        self._flying: Batch | None = None
        self._unsettled: deque[OpenBatch] = deque()
        self._is_mending = False
        self._may_decide = asyncio.Event()
        self._has_decided = asyncio.Event()
        self._claim_first()

    def go_on(self) -> None:
        """Say that a command may be ready."""
        self._may_decide.set()

    def set_place(self, place: needs.Place) -> None:
        """Decide from the next batch on with other homes; one batch knows but one map.

        Only where the map and the shard agree, it counts: what the shard owns is its own to say.
        """
        self._mapped_place = place
        self._next_place = owned_place(place, self._buckets, self._frozen)
        self._claim_first()

    @property
    def frozen(self) -> frozenset[int]:
        """The buckets that nothing is decided on while they move."""
        return self._frozen

    def freeze(self, frozen: frozenset[int]) -> None:
        """Decide nothing more on these buckets, and on those frozen before again.

        To be called by a change of the ownership, which nothing is decided across.
        """
        self._frozen = frozen
        self._next_place = owned_place(self._mapped_place, self._buckets, frozen)

    @property
    def buckets(self) -> Buckets | None:
        """The buckets as committed; None while the shard is alone."""
        return self._buckets

    def change_buckets(
        self,
        change: ChangeBuckets,
        *,
        needs: Sequence[Item] = (),
        first: Callable[[], Awaitable[None]] | None = None,
    ) -> "asyncio.Future[None]":
        """Commit another ownership in a batch of its own; nothing is decided across it.

        `first` is awaited before it, when nothing is being decided any more. The future ends with
        it, or with BadBuckets, which `change` may raise, Rejected or Unavailable; after the last
        it is unknown whether it was committed.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bucket_changes.append(_BucketChange(change, needs, first, done))
        self._has_decided.set()
        return done

    def _claim_first(self) -> None:
        """Take what the map gives, where the database says nothing of buckets yet.

        A shard that had written before was alone till now, and has everything.
        """
        place = self._mapped_place
        if self._buckets is None and place.homes is not None and not self._bucket_changes:
            is_new = self._opened.seq == 0
            claim = NewBuckets(as_mapped(place) if is_new else everything(place.region))
            self.change_buckets(lambda *_: claim).add_done_callback(_note_first_buckets)

    async def decide(self) -> None:
        """Decide what is ready, as it comes, until cancelled."""
        while True:
            await self._may_decide.wait()
            self._may_decide.clear()
            self._decide_ready()

    async def apply(self) -> None:
        """Apply what is decided, batch after batch, until cancelled.

        Raises Fenced, Ambiguous, Conflict or Unavailable: the lane must be taken over again.
        """
        try:
            while True:
                if (batch := self._open) is None:
                    self._settle()
                    if self._bucket_changes:
                        await self._change_buckets(self._bucket_changes[0])
                    else:
                        await self._wait_for_decisions()
                else:
                    self._open = None
                    await self._commit(batch)
        finally:
            self._settle()
            for change in self._bucket_changes:
                change.fail(Unavailable("the lane was lost"))

    async def _change_buckets(self, change: "_BucketChange") -> None:
        batch = self._new_batch()
        try:
            if change.needs:
                self._cache.absorb(await self._storage.load(change.needs))
            if change.first is not None:
                await change.first()
            new = change.change(self._buckets, batch.context)
            if new is not None:
                batch.buckets = new.buckets
                batch.absorb(new.changes)
                self._serial = batch.context.mint.serial
                await self._apply(batch)
        except (BadBuckets, Rejected) as error:
            batch.undo()
            change.fail(error)
        else:
            if batch.buckets is not None:
                self._buckets = self._decider.buckets = batch.buckets
                self.freeze(self._frozen)
            change.succeed()
        # What is raised otherwise loses the lane, and that fails all changes.
        self._bucket_changes.popleft()
        self._signal()

    async def _wait_for_decisions(self) -> None:
        self._has_decided.clear()
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._has_decided.wait()
        except TimeoutError:
            await self._storage.check(self._opened.ownership)
            if self._teller is not None:
                self._teller.held()

    def _decide_ready(self) -> None:
        """Decide what is ready into the open batch, until that is full."""
        if self._is_mending or self._bucket_changes or not self._room.has_ready:
            return
        background = self._background_room() if self._room.has_background else 0
        if not background and not self._room.has_urgent:
            return
        batch = self._open = self._open or self._new_batch()
        count_left = self._count_max - len(batch.replies)
        if count_left <= 0 or batch.size >= BATCH_BYTES_MAX:
            return
        entries = self._room.take(count_left, BATCH_BYTES_MAX - batch.size, background)
        if background:
            batch.background += sum(entry.background for entry in entries)
        if entries[0].request_key is not None and not entries[0].background:
            self._background.caller_seen(time.monotonic())
        if not self._decide(entries, batch):
            self._room.restart()
            self._signal()
        if len(batch.replies) >= self._count_max:
            # While its predecessor is being applied, so that there is less to do in between.
            sealed = batch.seal(self._flying.hash if self._flying else self.head)
            self._storage.prepare(self._opened.ownership, sealed)
        self._has_decided.set()

    def _background_room(self) -> int:
        """Return how many background commands the open batch may take now; look again in time."""
        now = time.monotonic()
        room = self._background.room(self._open.background if self._open else 0, now)
        if room is None:
            return self._count_max
        seconds = self._background.seconds_left(now)
        if seconds and not room and self._background_waits is None:
            self._background_waits = asyncio.get_running_loop().call_later(
                seconds, self._look_at_background
            )
        return room

    def _look_at_background(self) -> None:
        self._background_waits = None
        self.go_on()

    def _decide(self, entries: list[Entry], batch: OpenBatch) -> bool:
        started = time.perf_counter()
        done = self._decider.decide(
            entries, batch, expiring=self.clock.trusted, monotonic_now=time.monotonic()
        )
        self._serial = batch.context.mint.serial
        self._meter.decide.observe(time.perf_counter() - started)
        return done

    def _new_batch(self) -> OpenBatch:
        now = self.clock.now()
        if self._place is not self._next_place:
            self._place = self._room.place = self._decider.place = self._next_place
        region, shard, homes, _ = self._place
        context = Context(now, region, shard, ids.Mint(region, now, self._serial), homes)
        seq = (self._flying.seq if self._flying else self.seq) + 1
        batch = OpenBatch(self._cache, context, self._opened, seq)
        batch.buckets_version = self._buckets.version if self._buckets else 0
        return batch

    async def _commit(self, batch: OpenBatch) -> None:
        """Apply a batch, then reply. One that fails leaves nothing behind, nor does the next."""
        try:
            if batch.writes:
                await self._apply(batch)
            elif batch.replies:
                self._meanwhile()
                await self._storage.check(self._opened.ownership)
        except KeyTaken as error:
            self._undo(batch)
            self._count_failure(batch, error)
            self._room.load_keys_for(KEYS_TAKEN_SECONDS)
            self._room.restart()
            self._signal()
        except Rejected as error:
            await self._mend(batch, error)
        except Conflict as error:
            self._count_failure(batch, error)
            raise
        else:
            self._unsettled.append(batch)

    def _meanwhile(self) -> None:
        """While the database works: let the next batch be decided, reply for the one before."""
        self._signal()
        self._settle()

    def _settle(self) -> None:
        """Reply for what is committed."""
        while self._unsettled:
            batch = self._unsettled.popleft()
            self._meter.batch_size.observe(len(batch.replies))
            self._meter.holds_expired.inc(batch.holds_expired)
            self._finish(batch.replies)
            self._signal()  # Those that waited for one of these.
            self._cache.evict(self._spared)
            background = self._room.background_count
            self._meter.queue_depth.set(len(self._room) - background)
            self._meter.background.set(background)

    async def _apply(self, batch: OpenBatch) -> None:
        self._flying = sealed = batch.seal(self.head)
        started = time.perf_counter()
        before = [entry.uncertain for entry, _ in batch.replies]
        for entry, _ in batch.replies:
            entry.uncertain = True  # Until storage says otherwise, also if this task is cancelled.
        try:
            applying = asyncio.create_task(self._storage.apply(self._opened.ownership, sealed))
            try:
                await asyncio.sleep(0)  # It is on its way now.
                self._meanwhile()
                await applying
            finally:
                applying.cancel()
        except (Rejected, Conflict, Fenced):
            for (entry, _), uncertain in zip(batch.replies, before, strict=True):
                entry.uncertain = uncertain
            raise
        finally:
            self._flying = None
        seconds = time.perf_counter() - started
        self.seq, self.head = sealed.seq, sealed.hash
        if sealed.crossed is not None:
            self._sent(sealed.crossed.sent)
        if self._teller is not None:
            self._teller.committed(sealed)
        self._learn_pace(len(batch.replies), seconds)
        self._background.applied(batch.background, seconds, time.monotonic())
        self._meter.journal_seq.set(sealed.seq)
        self._meter.request_keys_deleted.inc(len(sealed.deleted_keys))
        self._meter.apply.observe(seconds)

    def _undo(self, batch: OpenBatch) -> None:
        """Forget a batch that was not committed, and the one decided on top of it."""
        if self._open is not None:
            self._open.undo()
            self._open = None
        batch.undo()

    async def _mend(self, batch: OpenBatch, error: Rejected) -> None:
        """Find the command whose data is refused; nothing else is decided meanwhile."""
        is_outermost, self._is_mending = not self._is_mending, True
        self._undo(batch)
        await self._bisect([entry for entry, _ in batch.replies], error)
        if is_outermost:
            self._is_mending = False
            self._room.restart()
            self._signal()

    async def _bisect(self, entries: list[Entry], error: Rejected) -> None:
        """Reload, and decide each half anew (R7)."""
        for tenant_id in {key[0] for entry in entries if (key := entry.request_key)}:
            self._meter.count_bisection(tenant_id)
        if len(entries) == 1:
            self._fail(entries[0], error)
            return
        middle = len(entries) // 2
        for half in (entries[:middle], entries[middle:]):
            items = {
                item
                for entry in half
                for item in needs.needed(entry.command, self._cache, self._place)
            }
            loaded = await self._storage.load(list(items))
            self._cache.forget(items)
            self._cache.absorb(loaded)
            batch = self._new_batch()
            self._decide(half, batch)
            await self._commit(batch)

    def _count_failure(self, batch: OpenBatch, error: Conflict) -> None:
        for entry, _ in batch.replies:
            entry.attempts += 1
            if entry.attempts >= FAILED_BATCHES_MAX:
                self._fail(entry, error)

    def _fail(self, entry: Entry, error: Exception) -> None:
        self._meter.internal_errors.inc()
        self._finish([(entry, internal_error(entry, error))])

    def _spared(self) -> set[Item]:
        """Return what the cache must not evict."""
        spared = set(self._room.needed())
        if self._open is not None:
            spared |= self._open.touched()
        return spared

    def _learn_pace(self, count: int, seconds: float) -> None:
        """Let a full batch shrink or grow towards the target; others say nothing."""
        if count < self._count_max:
            return
        if seconds > BATCH_SECONDS_TARGET:
            lowest = min(BATCH_COUNT_MIN, self._batch_commands_max)
            self._count_max = max(lowest, self._count_max * 9 // 10)
        else:
            self._count_max = min(self._batch_commands_max, self._count_max + 10)
