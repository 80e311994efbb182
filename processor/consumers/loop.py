"""Drives a handler: poll, effect and ids in one transaction, then finish; park what cannot be.

One task does all of it in turn. While something is handled nothing is polled, so that partitions
are taken away only between two portions: what had its effect is finished by then, and the rest is
dropped, for whoever has the partition next. The client library reads ahead meanwhile, within its
own bounds, so that turns cost no throughput.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from kit import failpoints, faults, metrics
from processor.consumers.delivery import Delivery, Partition, Readable, Reader, Unreadable
from processor.consumers.hand import PORTION_MAX, Hand, Item, positions
from processor.consumers.handlers import Handler, Refused
from processor.consumers.letters import Letter
from processor.consumers.ports import (
    DependencyDown,
    Inbox,
    Parking,
    Rejected,
    Source,
    SourceLost,
    TryAgain,
)
from processor.consumers.retry import ATTEMPTS_MAX, Verdict, delay, explain, judge

Message = TypeVar("Message")
Transaction = TypeVar("Transaction")

POLL_SECONDS_MAX: Final = 0.25
"""How long a poll waits for records; so soon a stop is noticed."""
WORK_SECONDS_MAX: Final = 10.0
"""Without a poll while there is work in hand; the group waits for a member a minute."""
IN_HAND_MAX: Final = 5_000
"""Records in memory: with more, nothing further is read."""
OTHERS_SHARE: Final = 4.0
"""Partitions that go on have so many times what was spent on one that cannot be parked."""
ATTEMPT_SECONDS_MAX: Final = 20.0
"""For one transaction; longer than the database's own deadline, which says more."""
FORGET_SECONDS: Final = 60.0
FORGET_ROWS_MAX: Final = 1_000
"""Ids past their retention that are deleted at a time."""
FORGET_PAUSE_SECONDS: Final = 0.05

DELIVERED: Final = "consumers.delivered"
BEFORE_COMMIT: Final = "consumers.before_commit"
COMMITTED: Final = "consumers.committed"
PARKED: Final = "consumers.parked"
FINISHED: Final = "consumers.finished"
FAIL_POINTS: Final = (DELIVERED, BEFORE_COMMIT, COMMITTED, PARKED, FINISHED)
"""Where a consumer may die and nothing may be lost or doubled."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Limits:
    """What bounds a consumer; other values are for tests."""

    portion_max: int = PORTION_MAX
    in_hand_max: int = IN_HAND_MAX
    poll_seconds_max: float = POLL_SECONDS_MAX
    work_seconds_max: float = WORK_SECONDS_MAX
    attempt_seconds_max: float = ATTEMPT_SECONDS_MAX
    forget_seconds: float = FORGET_SECONDS


class Consumer(Generic[Message, Transaction]):
    """One member of a consumer group."""

    def __init__(
        self,
        handler: Handler[Message, Transaction],
        open_source: Callable[[], Awaitable[Source]],
        inbox: Inbox[Transaction],
        parking: Parking,
        read: Reader[Message],
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        fraction: Callable[[], float] = random.random,
    ) -> None:
        self._handler = handler
        self._open_source = open_source
        self._inbox = inbox
        self._parking = parking
        self._read = read
        self._limits = limits or Limits()
        self._clock = clock
        self._fraction = fraction
        self._meter = metrics.consumer_meter(handler.name)
        self._stopping = asyncio.Event()
        self._hand: Hand[Message] = Hand(self._limits.portion_max)
        self._polled_at = 0.0
        self._down_until = 0.0
        # Failures in a row, by what failed, and what it said.
        self._failures: dict[str, int] = {}
        self._problems: dict[str, str] = {}

    @property
    def problem(self) -> str:
        """What keeps it from handling everything, for health and people; empty if nothing does."""
        return "; ".join(f"{what}: {said}" for what, said in sorted(self._problems.items()))

    def stop(self) -> None:
        """End after the portion in hand; `run` then returns."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until stopped."""
        try:
            async with asyncio.TaskGroup() as group:
                forgetting = group.create_task(self._forget())
                try:
                    while not self._stopping.is_set():
                        await self._belong()
                finally:
                    forgetting.cancel()
        finally:
            await self._parking.close()
            await self._inbox.close()

    async def _belong(self) -> None:
        """Be a member of the group until stopped, or until the source is of no more use."""
        source: Source | None = None
        try:
            source = await self._open_source()
            while not self._stopping.is_set():
                await self._step(source)
        except SourceLost as lost:
            pause = self._note_failure("broker", str(lost))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
        finally:
            self._hand = Hand(self._limits.portion_max)
            self._meter.show_lags({})
            if source is not None:
                await source.close()

    async def _step(self, source: Source) -> None:
        """Poll once, and work on what there is until the next poll is due."""
        count, seconds, paused = self._wanted(source)
        polled = await source.poll(count, seconds, paused)
        self._polled_at = time.monotonic()
        if polled.deliveries:
            failpoints.reach(DELIVERED)
        if polled.problem:
            self._note_failure("broker", polled.problem)
        else:
            self._note_success("broker")
        self._hand.drop(polled.gone)
        self._hand.add(self._item(delivery) for delivery in polled.deliveries)
        self._meter.show_lags({(it.topic, it.number): lag for it, lag in polled.lags.items()})
        self._hand.release(self._polled_at)
        await self._work(source)
        self._meter.held.set(len(self._hand.held))

    def _wanted(self, source: Source) -> tuple[int, float, Set[Partition]]:
        """Return how many records to poll for, for how long at most, and what to leave alone."""
        hand, limits, now = self._hand, self._limits, time.monotonic()
        room = limits.in_hand_max - len(hand)
        is_down = now < self._down_until
        if is_down or room <= 0 or hand.is_ready:
            # It is only shown that this member lives, and asked whether partitions go.
            paused: Set[Partition] = source.owned
        else:
            paused = hand.held
        waits = [limits.poll_seconds_max]
        if is_down:
            waits.append(self._down_until - now)
        elif hand.is_ready:
            waits.append(0.0)
        if hand.next_release is not None:
            waits.append(max(hand.next_release - now, 0.0))
        return max(1, min(room, limits.portion_max)), min(waits), paused

    def _item(self, delivery: Delivery) -> Item[Message]:
        try:
            return Item(delivery, self._read(delivery))
        except Exception as error:  # Of ours; what was sent must never stop the loop.
            error_id = faults.record("consumer", self._handler.name, error)
            return Item(delivery, Unreadable(*explain(error, error_id)))

    async def _work(self, source: Source) -> None:
        hand = self._hand
        while hand.is_ready and not self._stopping.is_set():
            now = time.monotonic()
            if now < self._down_until:
                return
            if now - self._polled_at > self._limits.work_seconds_max:
                return
            await self._try(hand.portion(), source)

    async def _try(self, portion: Sequence[Item[Message]], source: Source) -> None:
        """Give a portion its effect, or find out what to do about it."""
        unreadable = [
            (item, self._letter(item, item.read.cause, item.read.text))
            for item in portion
            if isinstance(item.read, Unreadable) and not item.parked
        ]
        if unreadable and not await self._park(unreadable):
            return
        readable = [item for item in portion if isinstance(item.read, Readable)]
        try:
            fresh = await self._effect(readable) if readable else frozenset()
        except Exception as error:  # Whatever a handler may raise: it is judged, and never lost.
            await self._failed(portion, error, source)
            return
        if readable:
            self._note_up()
        self._count(readable, fresh)
        self._finish(portion, source)

    async def _effect(self, items: Sequence[Item[Message]]) -> Set[str]:
        """Handle what had no effect yet; return the ids of that."""
        first: dict[str, Readable[Message]] = {}
        for item in items:
            assert isinstance(item.read, Readable)
            # The same event may be delivered twice in one portion.
            first.setdefault(item.read.id, item.read)
        name = self._handler.name
        async with asyncio.timeout(self._limits.attempt_seconds_max):
            async with self._inbox.batch(name, tuple(first)) as (transaction, fresh):
                messages = [read.message for id, read in first.items() if id in fresh]
                if messages:
                    await self._handler.handle(messages, transaction)
                failpoints.reach(BEFORE_COMMIT)
        failpoints.reach(COMMITTED)
        return fresh

    async def _failed(
        self, portion: Sequence[Item[Message]], error: Exception, source: Source
    ) -> None:
        verdict = judge(error)
        if verdict is Verdict.DOWN:
            pause = self._note_failure("dependency", str(error))
            self._down_until = time.monotonic() + pause
            self._meter.waiting.set(1)
            self._meter.count_retry("down")
            return
        item = self._hand.failed(portion)
        if item is None:
            self._meter.count_retry("narrowed")
            return
        item.first_failed_at = item.first_failed_at or self._clock()
        item.attempts += 1
        if item.attempts < ATTEMPTS_MAX[verdict]:
            pause = delay(item.attempts, self._fraction())
            self._hand.hold(item.partition, time.monotonic() + pause)
            self._meter.count_retry(verdict.value)
            return
        is_expected = isinstance(error, Refused | Rejected | TryAgain | TimeoutError)
        error_id = "" if is_expected else faults.record("consumer", self._handler.name, error)
        letter = self._letter(item, *explain(error, error_id))
        if await self._park([(item, letter)]):
            self._finish([item], source)

    async def _park(self, letters: Sequence[tuple[Item[Message], Letter]]) -> bool:
        """Put letters into the dead-letter queue; say whether all are there.

        A partition whose letter is not stored stands still, for nothing may be passed over; the
        others go on.
        """
        began = time.monotonic()
        problems = await self._parking.park([letter for _, letter in letters])
        failpoints.reach(PARKED)
        # What cannot be parked is found out slowly, and the others' turn comes in between.
        for_others = OTHERS_SHARE * (time.monotonic() - began)
        for (item, letter), problem in zip(letters, problems, strict=True):
            if problem:
                pause = self._note_failure("dead letters", problem)
                self._hand.hold(item.partition, time.monotonic() + pause + for_others)
                self._meter.count_retry("parking")
                continue
            item.parked = True
            self._meter.count_parked(letter.delivery.partition.topic, letter.cause)
            log.warning(
                "event_parked",
                consumer=letter.consumer,
                letter=letter.id,
                cause=letter.cause,
                text=letter.text,
                attempts=letter.attempts,
            )
        if any(problems):
            return False
        self._note_success("dead letters")
        return True

    def _letter(self, item: Item[Message], cause: str, text: str) -> Letter:
        now = self._clock()
        return Letter(
            consumer=self._handler.name,
            cause=cause,
            text=text,
            attempts=max(item.attempts, 1),
            first_at=item.first_failed_at or now,
            last_at=now,
            delivery=item.delivery,
        )

    def _finish(self, portion: Sequence[Item[Message]], source: Source) -> None:
        self._hand.done(portion)
        source.finish(positions(portion))
        failpoints.reach(FINISHED)

    def _count(self, items: Sequence[Item[Message]], fresh: Set[str]) -> None:
        now = self._clock()
        handled: dict[str, int] = {}
        delivered: dict[str, int] = {}
        counted: set[str] = set()
        for item in items:
            assert isinstance(item.read, Readable)
            topic, read = item.partition.topic, item.read
            delivered[topic] = delivered.get(topic, 0) + 1
            if read.id in fresh and read.id not in counted:
                counted.add(read.id)
                handled[topic] = handled.get(topic, 0) + 1
                self._meter.age.observe(max(now - read.created_at, 0.0))
                self._meter.note_newest(topic, read.created_at)
        for topic, count in delivered.items():
            self._meter.count(topic, "handled", handled.get(topic, 0))
            self._meter.count(topic, "repeated", count - handled.get(topic, 0))

    def _note_failure(self, what: str, problem: str) -> float:
        """Note that something failed; return how long to leave it alone, in s."""
        failures = self._failures.get(what, 0) + 1
        self._failures[what] = failures
        if self._problems.get(what) != problem:
            self._problems[what] = problem
            log.warning("consumer_waits", consumer=self._handler.name, on=what, reason=problem)
        return delay(failures, self._fraction())

    def _note_success(self, what: str) -> None:
        if self._failures.pop(what, 0):
            del self._problems[what]
            log.info("consumer_goes_on", consumer=self._handler.name, on=what)

    def _note_up(self) -> None:
        self._note_success("dependency")
        self._meter.waiting.set(0)

    async def _forget(self) -> None:
        """Delete ids past their retention, now and then."""
        name = self._handler.name
        while True:
            await asyncio.sleep(self._limits.forget_seconds)
            # While the database is away the loop says so, and this has time.
            with contextlib.suppress(DependencyDown, TryAgain):
                deleted = FORGET_ROWS_MAX
                while deleted == FORGET_ROWS_MAX:
                    deleted = await self._inbox.forget(name, FORGET_ROWS_MAX)
                    await asyncio.sleep(FORGET_PAUSE_SECONDS)
