"""The lane: the single writer of a shard. Drain what waits, decide in memory, apply, answer."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from kit import metrics
from processor.beats import Beats, Replies
from processor.cache import Cache
from processor.domain import commands, needs
from processor.entries import OUTCOME_UNKNOWN, SHARD_UNAVAILABLE, Entry
from processor.housekeeping import Housekeeping
from processor.ports import (
    Ambiguous,
    Conflict,
    Fenced,
    LaneStorage,
    Lease,
    NoLease,
    Opened,
    Unavailable,
)
from processor.waiting import WaitingRoom

log = structlog.get_logger()

LOAD_ITEMS_MAX: Final = 2_000
"""Items per load query: a few ms of index look-ups."""
KEYS_TAKEOVER_SECONDS: Final = 10.0
"""After a takeover callers repeat what they had no answer to: every key is looked up."""
TICK_SECONDS: Final = 0.05
OPEN_RETRY_SECONDS_MIN: Final = 0.02
OPEN_RETRY_SECONDS_MAX: Final = 0.5
UNAVAILABLE_AFTER_SECONDS: Final = 1.0
"""Callers wait this long for a lane that is being taken over; then they are told to repeat."""


class Limits(NamedTuple):
    """What a deployment may set."""

    queue_commands_max: int = 20_000
    queue_bytes_max: int = 64 << 20
    batch_commands_max: int = 300
    cache_items_max: int = 400_000
    request_key_retention_seconds: int = 30 * 24 * 3600
    housekeeping_seconds: float = 1.0


def _tell_nobody(_shard: str, _epoch: int) -> None:
    """For a lane that nobody looks for."""


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
        on_ownership: Callable[[str, int], None] = _tell_nobody,
    ) -> None:
        """`on_ownership` hears the shard and the epoch of a takeover, or 0 when it is over."""
        self._storage = storage
        self._lease = lease or NoLease()
        self._owner = owner
        self._limits = limits or Limits()
        self._place = needs.Place(region, shard)
        self._meter = metrics.lane_meter(shard)
        self._tell = on_ownership
        self._cache = Cache(self._limits.cache_items_max)
        self._room = WaitingRoom(
            self._cache,
            self._place,
            self._now,
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
        self._beats: Beats | None = None
        self._closed_at = time.monotonic()
        self._refusing = False
        self._stopping = asyncio.Event()
        self._opened_event = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._load_wake = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether the lane decides commands now."""
        return self._beats is not None

    @property
    def is_away(self) -> bool:
        """Whether it refuses what comes: it stops, or is closed for longer than callers wait."""
        return self._refusing or self._closed_too_long()

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
        while not self._stopping.is_set():
            try:
                # A lease that nobody renews says that its owner is dead or hangs.
                evict = await self._lease.claim(self._owner)
                opened = await self._storage.open(self._owner, evict=evict)
            except Unavailable as error:
                log.info("lane_not_open", shard=self._place.shard, reason=str(error))
                if self._closed_too_long():
                    self._reply_to_all()
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, OPEN_RETRY_SECONDS_MAX)
                continue
            delay = OPEN_RETRY_SECONDS_MIN
            self._lease.keep(self._owner)
            beats = self._take_over(opened)
            try:
                await self._serve(beats)
            finally:
                self._close()
        self._reply_to_all()
        await self._storage.close()
        await self._lease.release(self._owner)

    async def stop(self, grace_seconds: float) -> None:
        """Refuse what comes, decide what waits, then let `run` give the lane up."""
        self._refusing = True
        self._tell(self._place.shard, 0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds if self.is_open else 0):
                await self._idle.wait()
        self._stopping.set()

    # Ownership.

    def _take_over(self, opened: Opened) -> Beats:
        ownership = opened.ownership
        self._cache.forget_all()
        for entry in self._room:
            entry.decided = False
        self._beats = beats = Beats(
            self._storage,
            self._cache,
            self._room,
            self._place,
            opened,
            batch_commands_max=self._limits.batch_commands_max,
            finish=self._finish,
            signal=self._signal,
        )
        self._opened_event.set()
        self._room.load_keys_for(KEYS_TAKEOVER_SECONDS)
        self._room.restart()
        self._signal()
        self._meter.epoch.set(ownership.epoch)
        self._meter.open.set(1)
        self._meter.takeovers.inc()
        self._meter.journal_seq.set(opened.seq)
        if not self._refusing:
            self._tell(ownership.shard, ownership.epoch)
        log.info(
            "lane_opened",
            shard=ownership.shard,
            epoch=ownership.epoch,
            incarnation=ownership.incarnation,
            seq=opened.seq,
        )
        return beats

    def _close(self) -> None:
        self._beats = None
        self._opened_event.clear()
        self._closed_at = time.monotonic()
        self._meter.open.set(0)
        self._tell(self._place.shard, 0)

    def _now(self) -> int:
        """Return the time by which holds are due; 0, at which none is, while it is in doubt."""
        beats = self._beats
        return beats.clock.now() if beats is not None and beats.clock.trusted else 0

    def _closed_too_long(self) -> bool:
        away = time.monotonic() - self._closed_at
        return self._beats is None and away > UNAVAILABLE_AFTER_SECONDS

    def _reply_to_all(self) -> None:
        self._finish(
            [
                (entry, OUTCOME_UNKNOWN if entry.uncertain else SHARD_UNAVAILABLE)
                for entry in self._room
            ]
        )

    # While it is held.

    async def _serve(self, beats: Beats) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(beats.decide())
                group.create_task(beats.apply())
                group.create_task(self._load())
                group.create_task(self._tick(beats))
                group.create_task(self._wait_for_stop())
        except* LaneLost:
            pass
        except* (Fenced, Ambiguous, Conflict, Unavailable) as lost:
            reasons = [repr(error) for error in lost.exceptions]
            log.warning("lane_lost", shard=self._place.shard, reasons=reasons)

    async def _wait_for_stop(self) -> None:
        await self._stopping.wait()
        raise LaneLost

    def _finish(self, replies: Replies) -> None:
        leave = self._room.leave
        counts: dict[tuple[str, str], int] = {}
        for entry, reply in replies:
            leave(entry)
            if entry.method_name:
                label = (entry.method_name, reply.outcome)
                counts[label] = counts.get(label, 0) + 1
            entry.reply(reply)
        for (method, outcome), count in counts.items():
            self._meter.count_commands(method, outcome, count)
        if not len(self._room):
            self._idle.set()

    async def _load(self) -> None:
        while True:
            if not self._room.wants_loads:
                self._load_wake.clear()
                await self._load_wake.wait()
            items = self._room.wanted(LOAD_ITEMS_MAX)
            if not items:
                continue
            started = time.perf_counter()
            loaded = await self._storage.load(items)
            self._meter.load.observe(time.perf_counter() - started)
            self._room.loaded(items, loaded)
            self._signal()

    async def _tick(self, beats: Beats) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._room.tick(time.monotonic())
            await self._housekeeping.tick(beats.clock, beats.seq, beats.head)

    def _own_command(self, command: commands.Command) -> None:
        self._room.admit(Entry(command, lambda _: None))
        self._signal()

    def _signal(self) -> None:
        if self._beats is not None and self._room.has_ready:
            self._beats.go_on()
        if self._room.wants_loads:
            self._load_wake.set()
