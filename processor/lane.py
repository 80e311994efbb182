"""The lane: the single writer of a shard. Drain what waits, decide in memory, apply, answer."""

import asyncio
import contextlib
import functools
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from kit import metrics
from processor import legs as written
from processor import moves
from processor.beats import Beats, Replies
from processor.cache import Cache
from processor.courier import Courier
from processor.domain import commands, needs
from processor.domain.copies import Page
from processor.domain.legs import Kind as LegKind
from processor.domain.ownership import NAMES, Buckets
from processor.domain.refusals import BadBuckets
from processor.domain.view import Item, Position
from processor.entries import (
    COPY_STANDS,
    MOVED,
    OUTCOME_UNKNOWN,
    QUEUE_FULL,
    SHARD_UNAVAILABLE,
    Entry,
    Reply,
)
from processor.housekeeping import Housekeeping
from processor.ports import (
    LEGS_PER_CALL_MAX,
    Ambiguous,
    BalanceCache,
    Conflict,
    Fenced,
    LaneBusy,
    LaneClosed,
    LaneStorage,
    Lease,
    Loaded,
    NoLease,
    Opened,
    Peers,
    Rejected,
    SentLeg,
    Unavailable,
)
from processor.telling import Teller
from processor.waiting import WaitingRoom
from processor.witness import NoWitness, Witness, report_losses

log = structlog.get_logger()

LOAD_ITEMS_MAX: Final = 2_000
"""Items per load query: a few ms of index look-ups."""
KEYS_TAKEOVER_SECONDS: Final = 10.0
"""After a takeover callers repeat what they had no answer to: every key is looked up."""
TICK_SECONDS: Final = 0.05
OPEN_RETRY_SECONDS_MIN: Final = 0.02
OPEN_RETRY_SECONDS_MAX: Final = 0.25
YIELD_SECONDS: Final = 0.1
"""From the loss of a lane until its owner tries to open it again."""

UNAVAILABLE_AFTER_SECONDS: Final = 1.0
"""Callers wait this long for a lane that is being taken over; then they are told to repeat."""


_COPIED_ROW_BYTES: Final = 1_000
"""What a copied payment or key costs a batch, about: as much as a command."""


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
    """Owns a shard while it runs; `submit` never waits, replies come after commit.

    `homes` says which shard has each bucket (`domain.place.Place`), None that this one has all;
    `peers` leads to the lanes of the others.
    """

    def __init__(
        self,
        storage: LaneStorage,
        *,
        region: str,
        shard: str,
        owner: str,
        limits: Limits | None = None,
        lease: Lease | None = None,
        homes: Mapping[str, str] | None = None,
        peers: Peers | None = None,
        witness: Witness | None = None,
        balances: BalanceCache | None = None,
        on_ownership: Callable[[str, int], None] = _tell_nobody,
        pursued: bool = True,
    ) -> None:
        """`on_ownership` hears the shard and the epoch of a takeover, or 0 when it is over.

        Not `pursued` it waits for `pursue`.
        """
        self._storage = storage
        self._lease = lease or NoLease()
        self._witness = witness or NoWitness()
        self._acknowledged = (0, b"")
        self._owner = owner
        self._limits = limits or Limits()
        self._place = needs.Place(region, shard, homes)
        self._meter = metrics.lane_meter(shard)
        self._tell = on_ownership
        self._peers = peers
        self._courier: Courier | None = None
        self._balances = balances
        self._teller: Teller | None = None
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
        self._departures: moves.Departures | None = None
        self._incarnation = ""
        self._closed_at = time.monotonic()
        self._cause = "unheld"
        self._evicts = False
        self._pursued = asyncio.Event()
        if pursued:
            self._pursued.set()
        self._leaving = False
        self._ending = asyncio.Event()
        self._stopped = False
        self._free = asyncio.Event()
        self._opened_event = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._load_wake = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether the lane decides commands now."""
        return self._beats is not None

    @property
    def is_pursued(self) -> bool:
        """Whether the lane is open, or opened as soon as that can be."""
        return self._pursued.is_set()

    @property
    def is_elsewhere(self) -> bool:
        """Whether what comes is for another owner: it is not sought, or is being given up."""
        return self._leaving or not self._pursued.is_set()

    @property
    def committed_seq(self) -> int:
        """The last commit that this lane made or found; 0 while it is not held."""
        return self._beats.seq if self._beats is not None else 0

    @property
    def is_away(self) -> bool:
        """Whether nothing that comes is decided: it is elsewhere, or closed for too long."""
        return self.is_elsewhere or self._closed_too_long()

    @property
    def incarnation(self) -> str:
        """The incarnation under which it decides now; empty while it does not."""
        return self._incarnation

    async def opened(self) -> None:
        """Return once the lane decides commands."""
        await self._opened_event.wait()

    def submit(self, entry: Entry) -> None:
        """Take a command; its reply comes once it is committed or refused."""
        self.submit_all((entry,))

    def submit_all(self, entries: Sequence[Entry]) -> None:
        """Take commands that came together, in their order, as `submit` does each."""
        if self.is_elsewhere or self._closed_too_long():
            refusal = MOVED if self.is_elsewhere else SHARD_UNAVAILABLE
            for entry in entries:
                entry.reply(refusal)
            return
        self._room.admit_all(entries)
        self._idle.clear()
        self._signal()

    def set_homes(self, homes: Mapping[str, str] | None, map_version: int = 0) -> None:
        """Decide with another map of the shards, from the next batch on."""
        self._place = self._place._replace(homes=homes, map_version=map_version)
        if self._beats is not None:
            self._beats.set_place(self._place)

    @property
    def buckets(self) -> Buckets | None:
        """The buckets that the shard owns as committed; None while it is alone, or not held."""
        return self._beats.buckets if self._beats is not None else None

    async def release_buckets(self, first_bucket: int, last_bucket: int, to: str) -> None:
        """Give a range of buckets without users to another shard; see `moves.release`.

        Raises BadBuckets, Rejected or Unavailable; after the last it may have been done.
        """
        beats = self._held_beats()
        if to not in self._place.peers():
            raise BadBuckets(f"the map names no other shard {to}")
        args = (self._storage, self._cache, self._place, first_bucket, last_bucket, to)
        await moves.release(beats, *args)

    async def release_bucket(self, bucket: int, to: str, position: Position) -> None:
        """Give a frozen bucket with users to another shard; see `moves.Departures.release`.

        Raises BadBuckets, Rejected or Unavailable; after the last it may have been done.
        """
        departures = self._held_departures()
        if to not in self._place.peers():
            raise BadBuckets(f"the map names no other shard {to}")
        await departures.release(self._place, bucket, to, position)

    async def freeze_bucket(self, bucket: int, seconds: float) -> int:
        """Decide nothing on a bucket for a while, or go on after 0 s; see `moves.Departures`.

        Returns the commit since which nothing was decided on it. Raises BadBuckets or Unavailable.
        """
        departures = self._held_departures()
        if seconds > 0:
            return await departures.freeze(self._place, bucket, seconds)
        await departures.thaw(bucket)
        return 0

    async def copy_bucket(self, bucket: int, after: Position | None) -> Page:
        """Return what comes next of a copy of a bucket. Raises Unavailable."""
        self._held_beats()
        return await self._storage.copy_page(self._place.region, NAMES[bucket], after)

    async def take_copies(self, bucket: int, page: Page | None) -> Position | None:
        """Keep a page of another shard's bucket, if it comes next; return how far the copy is.

        Raises LaneClosed or LaneBusy; then it may have been kept.
        """
        self._held_beats()
        home = f"{self._place.region}/{NAMES[bucket]}"
        if page is not None and page.bucket != home:
            page = None
        size = 0 if page is None else _COPIED_ROW_BYTES * (len(page.payments) + len(page.keys))
        answer = await self._submit_own(commands.TakeCopies(home, page), size)
        if answer is QUEUE_FULL:
            raise LaneBusy("the queue is full")
        if answer.reason not in ("", COPY_STANDS):
            raise LaneClosed("the lane was lost")
        return self._cache.copied(home)

    def _held_departures(self) -> moves.Departures:
        self._held_beats()
        assert self._departures is not None
        return self._departures

    def _held_beats(self) -> Beats:
        if self._beats is None or self.is_elsewhere:
            raise LaneClosed("the lane is not held")
        return self._beats

    async def carry(self, source: str, first_number: int, legs: Sequence[bytes]) -> int:
        """Take legs in that another shard sent, and return the position after them.

        The position is the number of the last leg from this source whose effect is committed. One
        that was taken before changes nothing, one that does not follow is not taken, and behind one
        that cannot be decided nothing is. `first_number` 0 asks for the position alone. Raises
        LaneClosed or LaneBusy; then legs may have been taken or not.
        """
        assert len(legs) <= LEGS_PER_CALL_MAX
        beats = self._held_beats()
        asked = list(self._received(source, first_number, legs))
        if asked[0].leg is not None and asked[0].leg.kind == LegKind.BUCKETS:
            return await self._take(beats, asked[0])
        replies = [self._submit_own(command, len(command.text)) for command in asked]
        position = -1
        for command, reply in zip(asked, replies, strict=True):
            answer = await reply
            if answer.response:
                position = int(answer.response)
            elif answer is QUEUE_FULL and position < 0:
                raise LaneBusy("the queue is full")
            elif answer is SHARD_UNAVAILABLE or answer is OUTCOME_UNKNOWN or answer is MOVED:
                raise LaneClosed("the lane was lost")
            elif answer is not QUEUE_FULL:
                self._meter.legs_stopped.inc()
                log.error("leg_undecided", source=source, number=command.number)
        return position if position >= 0 else await self.carry(source, 0, ())

    async def run(self) -> None:
        """Take the lane over, serve, and take it over again whenever it is lost, until stopped.

        From `give_up` until `pursue` it only waits.
        """
        while not self._stopped:
            await self._pursued.wait()
            try:
                await self._hold()
            finally:
                await self._let_go()
        self._free.set()

    def pursue(self, cause: str, *, evicts: bool = False) -> None:
        """Open the lane as soon as that can be, because of a cause that a metric names.

        `evicts` ends the recorded owner's session if no lease can say whether that one lives.
        """
        self._evicts = evicts
        if not self._pursued.is_set():
            self._cause = cause
            self._closed_at = time.monotonic()
            self._pursued.set()

    async def give_up(self, grace_seconds: float = 0.0) -> None:
        """Decide what waits, for so long; then give the lane up, and return when it is free.

        What comes meanwhile or is left over is MOVED. `run` must be running.
        """
        await self._end(grace_seconds)
        await self._free.wait()

    async def given_up(self) -> None:
        """Return once the lane is free after `give_up` or `stop`."""
        await self._free.wait()

    async def stop(self, grace_seconds: float) -> None:
        """Decide what waits, for so long; then let `run` give the lane up, and end."""
        self._stopped = True
        await self._end(grace_seconds)
        self._pursued.set()

    # Ownership.

    async def _end(self, grace_seconds: float) -> None:
        self._leaving = True
        self._free.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds if self.is_open else 0):
                await self._idle.wait()
        self._ending.set()

    async def _hold(self) -> None:
        delay = OPEN_RETRY_SECONDS_MIN
        while not self._ending.is_set():
            try:
                # A lease that nobody renews says that its owner is dead or hangs.
                claimed = await self._lease.claim(self._owner)
                evict = self._evicts if claimed is None else claimed
                opened = await self._storage.open(self._owner, evict=evict)
                await report_losses(self._witness, self._storage, opened, self._acknowledged)
            except Unavailable as error:
                log.info("lane_not_open", shard=self._place.shard, reason=str(error))
                if self._closed_too_long():
                    self._reply_to_all()
                await self._pause(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, OPEN_RETRY_SECONDS_MAX)
                continue
            delay = OPEN_RETRY_SECONDS_MIN
            self._lease.keep(self._owner)
            beats = self._take_over(opened)
            try:
                await self._serve(beats)
            finally:
                self._close()
            # Who ended our session takes the lane now, if anybody did: else both would go on so.
            await self._pause(YIELD_SECONDS)

    async def _let_go(self) -> None:
        """Free the lane for its next owner, and say so as soon as it can be opened."""
        self._finish([(entry, MOVED) for entry in self._room])
        self._meter.show_nothing()
        await self._storage.close()
        self._pursued.clear()
        self._leaving = self._stopped
        self._ending.clear()
        self._tell(self._place.shard, 0)
        self._free.set()
        await self._lease.release(self._owner)
        await self._witness.release()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not when the lane is given up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    def _take_over(self, opened: Opened) -> Beats:
        ownership = opened.ownership
        self._incarnation = ownership.incarnation
        self._cache.forget_all()
        for entry in self._room:
            entry.decided = False
        self._courier = None
        if self._peers is not None:
            shard = self._place.shard
            self._courier = Courier(self._storage, self._peers, shard, self._own_entry)
        self._teller = None
        if self._balances is not None:
            self._teller = Teller(self._balances, ownership, opened.seq)
        self._beats = beats = Beats(
            self._storage,
            self._cache,
            self._room,
            self._place,
            opened,
            batch_commands_max=self._limits.batch_commands_max,
            finish=self._finish,
            signal=self._signal,
            sent=self._sent,
            teller=self._teller,
        )
        self._departures = moves.Departures(beats, self._storage, self._cache, self._place.shard)
        self._opened_event.set()
        self._room.load_keys_for(KEYS_TAKEOVER_SECONDS)
        self._room.restart()
        self._signal()
        self._meter.epoch.set(ownership.epoch)
        self._meter.open.set(1)
        self._meter.count_takeover(self._cause, time.monotonic() - self._closed_at)
        self._cause = "reopened"
        self._meter.journal_seq.set(opened.seq)
        if not self._leaving:
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
        self._incarnation = ""
        self._opened_event.clear()
        self._closed_at = time.monotonic()
        self._meter.open.set(0)
        if not self._ending.is_set():
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
                if self._courier is not None:
                    group.create_task(self._courier.run())
                if self._teller is not None:
                    group.create_task(self._teller.run())
                # Not a task: a group that fails in its own end leaves its task marked as cancelled.
                await self._wait_for_end()
        except* LaneLost:
            pass
        except* (Fenced, Ambiguous, Conflict, Unavailable) as lost:
            reasons = [repr(error) for error in lost.exceptions]
            log.warning("lane_lost", shard=self._place.shard, reasons=reasons)

    async def _wait_for_end(self) -> None:
        await self._ending.wait()
        raise LaneLost

    def _finish(self, replies: Replies) -> None:
        leave, courier = self._room.leave, self._courier
        if self._beats is not None:
            self._acknowledged = (self._beats.seq, self._beats.head)
            self._witness.note(self._acknowledged)
        counts: dict[tuple[str, str], int] = {}
        for entry, reply in replies:
            leave(entry)
            if entry.method_name and reply is not MOVED:
                label = (entry.method_name, reply.outcome)
                counts[label] = counts.get(label, 0) + 1
            if courier is not None and _is_for_all_shards(entry, reply):
                courier.when_carried(functools.partial(entry.reply, reply))
            else:
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
            loaded = await self._load_unmoved(items)
            self._meter.load.observe(time.perf_counter() - started)
            self._room.loaded(items, loaded)
            self._signal()

    async def _load_unmoved(self, items: list[Item]) -> Loaded:
        """Load what is not older than the ownership: with a bucket come rows that were not here."""
        while True:
            before = self.buckets
            loaded = await self._storage.load(items)
            if self.buckets is before:
                return loaded

    async def _tick(self, beats: Beats) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self._departures is not None:
                await self._departures.tick()
            self._room.tick(time.monotonic())
            await self._housekeeping.tick(beats.clock, beats.seq, beats.head)

    def _own_command(self, command: commands.Command) -> None:
        self._own_entry(Entry(command, lambda _: None))

    def _own_entry(self, entry: Entry) -> None:
        self._room.admit(entry)
        self._signal()

    # Legs.

    def _sent(self, legs: Sequence[SentLeg]) -> None:
        if self._courier is not None:
            self._courier.sent(legs)

    async def _take(self, beats: Beats, command: commands.ReceiveLeg) -> int:
        try:
            return await moves.take(beats, self._cache, self._place, command)
        except (BadBuckets, Rejected) as error:
            self._meter.legs_stopped.inc()
            log.error("buckets_not_taken", source=command.source, reason=str(error))
            return await self.carry(command.source, 0, ())

    def _submit_own(
        self, command: commands.ReceiveLeg | commands.TakeCopies, size: int
    ) -> "asyncio.Future[Reply]":
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def reply(answer: Reply) -> None:
            if not future.done():
                future.set_result(answer)

        self.submit(Entry(command, reply, size=size))
        return future

    def _received(
        self, source: str, first_number: int, legs: Sequence[bytes]
    ) -> Iterator[commands.ReceiveLeg]:
        """Yield legs as commands, up to one that is not what it should be; never nothing."""
        expected = (source, self._place.shard)
        number = 0
        for number, body in enumerate(legs, start=first_number):
            try:
                text = body.decode()
                leg = written.decode(text)
                if (leg.source, leg.destination, leg.number) != (*expected, number):
                    raise written.Unreadable(f"a leg of {leg.source} to {leg.destination}")
            except ValueError as error:
                self._meter.legs_stopped.inc()
                log.error("leg_unreadable", source=source, number=number, reason=str(error))
                number -= 1
                break
            if leg.kind == LegKind.BUCKETS and number > first_number:
                number -= 1
                break  # It comes again, alone: it is taken in a batch of its own.
            yield commands.ReceiveLeg(source, number, leg, text)
            if leg.kind == LegKind.BUCKETS:
                break
        if number < max(first_number, 1):
            yield commands.ReceiveLeg(source, 0, None, "")

    def _signal(self) -> None:
        if self._beats is not None and self._room.has_ready:
            self._beats.go_on()
        if self._room.wants_loads:
            self._load_wake.set()


def _is_for_all_shards(entry: Entry, reply: Reply) -> bool:
    """Say whether a reply waits until the other shards know of what it says."""
    return not (reply.reason or reply.replayed) and isinstance(
        entry.command, commands.CreateMerchant | commands.UpdateMerchant
    )
