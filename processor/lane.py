"""The lane: the single writer of a shard. Drain what waits, decide in memory, apply, answer."""

import asyncio
import contextlib
import random
import time
from typing import Final, NamedTuple

import structlog

from kit import metrics
from processor import journal
from processor.cache import Cache
from processor.clock import LaneClock
from processor.domain import commands, ids, needs
from processor.domain.context import Context
from processor.domain.view import Item
from processor.entries import (
    OUTCOME_UNKNOWN,
    SHARD_UNAVAILABLE,
    Entry,
    Reply,
    internal_error,
)
from processor.housekeeping import Housekeeping
from processor.openbatch import OpenBatch
from processor.ports import (
    Ambiguous,
    Batch,
    Conflict,
    Fenced,
    KeyTaken,
    LaneStorage,
    Lease,
    NoLease,
    Opened,
    Rejected,
    Unavailable,
)
from processor.waiting import WaitingRoom
from processor.work import Decider

log = structlog.get_logger()

BATCH_BYTES_MAX: Final = 1 << 20
BATCH_SECONDS_TARGET: Final = 0.008
"""A batch ends at about this much work (R1); the count that fits is learned."""
BATCH_COUNT_MIN: Final = 200
LOAD_ITEMS_MAX: Final = 2_000
"""Items per load query: a few ms of index look-ups."""
KEYS_TAKEOVER_SECONDS: Final = 10.0
"""After a takeover callers repeat what they had no answer to: every key is looked up."""
KEYS_TAKEN_SECONDS: Final = 1.0
"""After a repeated request that was not in memory; so such a one fails a batch once a second."""
HEARTBEAT_SECONDS: Final = 1.0
"""An idle lane checks that it still owns the shard this often."""
TICK_SECONDS: Final = 0.05
OPEN_RETRY_SECONDS_MIN: Final = 0.02
OPEN_RETRY_SECONDS_MAX: Final = 0.5
UNAVAILABLE_AFTER_SECONDS: Final = 1.0
"""Callers wait this long for a lane that is being taken over; then they are told to repeat."""
FAILED_BATCHES_MAX: Final = 3
"""Batches that may fail with a command in them before the command is failed."""
IN_PROGRESS_MARGIN_SECONDS: Final = 0.05
"""Second calls are told this long before their deadline that the first is still running."""


class Limits(NamedTuple):
    """What a deployment may set."""

    queue_commands_max: int = 20_000
    queue_bytes_max: int = 64 << 20
    batch_commands_max: int = 300
    cache_items_max: int = 400_000
    request_key_retention_seconds: int = 30 * 24 * 3600
    housekeeping_seconds: float = 1.0


class LaneLost(Exception):
    """The lane must be taken over again before anything more is decided."""


class Lane:
    """Owns a shard while it runs; `submit` never waits, replies come after commit."""

    def __init__(
        self,
        storage: LaneStorage,
        *,
        region: str,
        shard: str,
        owner: str,
        limits: Limits | None = None,
        lease: Lease | None = None,
    ) -> None:
        self._storage = storage
        self._lease = lease or NoLease()
        self._owner = owner
        self._limits = limits or Limits()
        self._place = needs.Place((region, shard))
        self._cache = Cache(self._limits.cache_items_max)
        self._clock = LaneClock(0, 0)
        self._room = WaitingRoom(
            self._cache,
            self._place,
            lambda: self._clock.now() if self._clock.trusted else 0,
            commands_max=self._limits.queue_commands_max,
            bytes_max=self._limits.queue_bytes_max,
        )
        self._housekeeping = Housekeeping(
            storage,
            self._own_command,
            shard=shard,
            round_seconds=self._limits.housekeeping_seconds,
            retention_seconds=self._limits.request_key_retention_seconds,
        )
        self._decider = Decider(self._cache, self._room, self._place)
        self._open: OpenBatch | None = None
        self._flying: Batch | None = None
        self._is_mending = False
        self._loads_keys_until = 0.0
        self._opened: Opened | None = None
        self._seq = 0
        self._head = journal.GENESIS
        self._serial = 0
        self._count_max = self._limits.batch_commands_max
        self._closed_at = time.monotonic()
        self._refusing = False
        self._stopping = False
        self._wake = asyncio.Event()
        self._has_decided = asyncio.Event()
        self._opened_event = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._load_wake = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether the lane decides commands now."""
        return self._opened is not None

    async def opened(self) -> None:
        """Return once the lane decides commands."""
        await self._opened_event.wait()

    def submit(self, entry: Entry) -> None:
        """Take a command; its reply comes once it is committed or refused."""
        if self._refusing or self._closed_too_long():
            entry.reply(SHARD_UNAVAILABLE)
            return
        self._room.admit(entry)
        self._idle.clear()
        self._signal()

    async def run(self) -> None:
        """Take the lane over, serve, and take it over again whenever it is lost, until stopped."""
        delay = OPEN_RETRY_SECONDS_MIN
        while not self._stopping:
            try:
                # A lease that nobody renews says that its owner is dead or hangs.
                evict = await self._lease.claim(self._owner)
                opened = await self._storage.open(self._owner, evict=evict)
            except Unavailable as error:
                log.info("lane_not_open", reason=str(error))
                if self._closed_too_long():
                    self._reply_to_all()
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, OPEN_RETRY_SECONDS_MAX)
                continue
            delay = OPEN_RETRY_SECONDS_MIN
            self._lease.keep(self._owner)
            self._take_over(opened)
            try:
                await self._serve()
            finally:
                self._close()
        self._reply_to_all()
        await self._storage.close()
        await self._lease.release(self._owner)

    async def stop(self, grace_seconds: float) -> None:
        """Refuse what comes, decide what waits, then let `run` give the lane up."""
        self._refusing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds if self.is_open else 0):
                await self._idle.wait()
        self._stopping = True
        self._signal()

    # Ownership.

    def _take_over(self, opened: Opened) -> None:
        ownership = opened.ownership
        self._seq, self._head = opened.seq, opened.hash
        self._clock = LaneClock(opened.clock, opened.last_written_at)
        self._serial = random.SystemRandom().randrange(ids.SERIAL_LIMIT // 2)
        self._cache.forget_all()
        self._open = self._flying = None
        self._is_mending = False
        for entry in self._room:
            entry.decided = False
        self._opened = opened
        self._opened_event.set()
        self._load_keys_for(KEYS_TAKEOVER_SECONDS)
        self._room.restart()
        self._signal()
        metrics.LANE_EPOCH.set(ownership.epoch)
        metrics.LANE_OPEN.set(1)
        metrics.LANE_TAKEOVERS.inc()
        metrics.JOURNAL_SEQ.set(self._seq)
        log.info(
            "lane_opened",
            shard=ownership.shard,
            epoch=ownership.epoch,
            incarnation=ownership.incarnation,
            seq=opened.seq,
        )

    def _close(self) -> None:
        self._opened = None
        self._opened_event.clear()
        self._closed_at = time.monotonic()
        metrics.LANE_OPEN.set(0)

    def _closed_too_long(self) -> bool:
        return (
            self._opened is None and time.monotonic() - self._closed_at > UNAVAILABLE_AFTER_SECONDS
        )

    def _reply_to_all(self) -> None:
        for entry in self._room:
            self._finish(entry, OUTCOME_UNKNOWN if entry.uncertain else SHARD_UNAVAILABLE)

    # The three beats. While one batch is being applied, the next is being decided.

    async def _serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._decides())
                group.create_task(self._applies())
                group.create_task(self._loads())
                group.create_task(self._ticks())
        except* LaneLost:
            pass
        except* (Fenced, Ambiguous, Conflict, Unavailable) as lost:
            log.warning("lane_lost", reasons=[repr(error) for error in lost.exceptions])

    async def _decides(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._decide_ready()

    async def _applies(self) -> None:
        opened = self._require_opened()
        while not self._stopping:
            if (batch := self._open) is None:
                self._has_decided.clear()
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await self._has_decided.wait()
                except TimeoutError:
                    await self._storage.check(opened.ownership)
                continue
            self._open = None
            self._signal()
            await self._commit(batch, opened)
        raise LaneLost

    def _decide_ready(self) -> None:
        """Decide what is ready into the open batch, until that is full."""
        if self._is_mending or not self._room.has_ready:
            return
        batch = self._open = self._open or self._new_batch()
        count_left = self._count_max - len(batch.replies)
        if count_left <= 0 or batch.size >= BATCH_BYTES_MAX:
            return
        if not self._decide(self._room.take(count_left, BATCH_BYTES_MAX - batch.size), batch):
            self._room.restart()
            self._signal()
        if len(batch.replies) >= self._count_max:
            # Sealed while its predecessor is being applied, there is less to do in between.
            batch.seal(self._flying.hash if self._flying else self._head)
        self._has_decided.set()

    def _decide(self, entries: list[Entry], batch: OpenBatch) -> bool:
        started = time.perf_counter()
        done = self._decider.decide(
            entries, batch, expiring=self._clock.trusted, monotonic_now=time.monotonic()
        )
        self._serial = batch.context.mint.serial
        metrics.LANE_DECIDE.observe(time.perf_counter() - started)
        return done

    def _new_batch(self) -> OpenBatch:
        now = self._clock.now()
        region, shard = self._place
        context = Context(now, region, shard, ids.Mint(region, now, self._serial))
        seq = (self._flying.seq if self._flying else self._seq) + 1
        return OpenBatch(self._cache, context, self._require_opened(), seq)

    async def _commit(self, batch: OpenBatch, opened: Opened) -> None:
        """Apply a batch, then reply. One that fails leaves nothing behind, nor does the next."""
        if batch.writes:
            try:
                await self._apply(batch, opened)
            except KeyTaken as error:
                self._undo(batch)
                self._count_failure(batch, error)
                self._load_keys_for(KEYS_TAKEN_SECONDS)
                self._room.restart()
                self._signal()
                return
            except Rejected as error:
                await self._mend(batch, error, opened)
                return
            except Conflict as error:
                self._count_failure(batch, error)
                raise
        elif batch.replies:
            await self._storage.check(opened.ownership)
        metrics.LANE_BATCH_SIZE.observe(len(batch.replies))
        metrics.LANE_HOLDS_EXPIRED.inc(batch.holds_expired)
        for entry, reply in batch.replies:
            self._finish(entry, reply)
        self._signal()  # Those that waited for one of these may go on.
        self._cache.evict(self._spared)
        metrics.LANE_QUEUE_DEPTH.set(len(self._room))

    async def _apply(self, batch: OpenBatch, opened: Opened) -> None:
        self._flying = sealed = batch.seal(self._head)
        started = time.perf_counter()
        before = [entry.uncertain for entry, _ in batch.replies]
        for entry, _ in batch.replies:
            entry.uncertain = True  # Until storage says otherwise, also if this task is cancelled.
        try:
            await self._storage.apply(opened.ownership, sealed)
        except (Rejected, Conflict, Fenced):
            for (entry, _), uncertain in zip(batch.replies, before, strict=True):
                entry.uncertain = uncertain
            raise
        finally:
            self._flying = None
        seconds = time.perf_counter() - started
        self._seq, self._head = sealed.seq, sealed.hash
        self._learn_pace(len(batch.replies), seconds)
        metrics.JOURNAL_SEQ.set(sealed.seq)
        metrics.LANE_REQUEST_KEYS_DELETED.inc(len(sealed.deleted_keys))
        metrics.LANE_APPLY.observe(seconds)

    def _undo(self, batch: OpenBatch) -> None:
        """Forget a batch that was not committed, and the one decided on top of it."""
        if self._open is not None:
            self._open.undo()
            self._open = None
        batch.undo()

    async def _mend(self, batch: OpenBatch, error: Rejected, opened: Opened) -> None:
        """Find the command whose data is refused; nothing else is decided meanwhile."""
        is_outermost, self._is_mending = not self._is_mending, True
        self._undo(batch)
        await self._bisect([entry for entry, _ in batch.replies], error, opened)
        if is_outermost:
            self._is_mending = False
            self._room.restart()
            self._signal()

    async def _bisect(self, entries: list[Entry], error: Rejected, opened: Opened) -> None:
        """Reload, and decide each half anew (R7)."""
        for tenant_id in {key[0] for entry in entries if (key := entry.request_key)}:
            metrics.LANE_BISECTIONS.labels(tenant_id).inc()
        if len(entries) == 1:
            metrics.LANE_INTERNAL_ERRORS.inc()
            self._finish(entries[0], internal_error(entries[0], error))
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
            await self._commit(batch, opened)

    def _count_failure(self, batch: OpenBatch, error: Conflict) -> None:
        for entry, _ in batch.replies:
            entry.attempts += 1
            if entry.attempts >= FAILED_BATCHES_MAX:
                metrics.LANE_INTERNAL_ERRORS.inc()
                self._finish(entry, internal_error(entry, error))

    def _finish(self, entry: Entry, reply: Reply) -> None:
        self._room.leave(entry)
        if not len(self._room):
            self._idle.set()
        if entry.method_name:
            metrics.count_lane_command(entry.method_name, reply.outcome)
        entry.reply(reply)

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
            self._count_max = max(BATCH_COUNT_MIN, self._count_max * 9 // 10)
        else:
            self._count_max = min(self._limits.batch_commands_max, self._count_max + 10)

    # Beside the beats.

    async def _loads(self) -> None:
        while True:
            if not self._room.wants_loads:
                self._load_wake.clear()
                await self._load_wake.wait()
            items = self._room.wanted(LOAD_ITEMS_MAX)
            if not items:
                continue
            started = time.perf_counter()
            loaded = await self._storage.load(items)
            metrics.LANE_LOAD.observe(time.perf_counter() - started)
            if any(item.kind == "key" and value for item, value in loaded.values.items()):
                # Where one old request is repeated, more may be.
                self._load_keys_for(KEYS_TAKEN_SECONDS)
            self._room.loaded(items, loaded)
            self._signal()

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            self._room.give_up_followers(now + IN_PROGRESS_MARGIN_SECONDS)
            self._room.loads_keys = now < self._loads_keys_until
            await self._housekeeping.tick(self._clock, self._seq, self._head)

    def _load_keys_for(self, seconds: float) -> None:
        """Look every request key up for a while, instead of taking it to be new."""
        self._loads_keys_until = max(self._loads_keys_until, time.monotonic() + seconds)
        self._room.loads_keys = True

    def _require_opened(self) -> Opened:
        assert self._opened is not None
        return self._opened

    def _own_command(self, command: commands.Command) -> None:
        self._room.admit(Entry(command, lambda _: None))
        self._signal()

    def _signal(self) -> None:
        if self._room.has_ready or self._stopping:
            self._wake.set()
        if self._room.wants_loads:
            self._load_wake.set()
