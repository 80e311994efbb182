"""Sends what is due on one channel: leases messages, has them sent, and records what came of it.

Several processes may do so at once: a message is leased to one of them. A process that dies while
it sends leaves leases that run out, and what it had in hand is sent again: once more for each
message that the other side had taken already, and never more than it sends at a time.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import asyncpg

from kit import failpoints, faults, logs, metrics
from services.database import ACQUIRE_SECONDS_MAX, Connection, Pool
from services.notifications import addresses, message_store, outcomes
from services.notifications.kinds import BY_TYPE, Channel, Kind
from services.notifications.message_store import Leased
from services.notifications.outcomes import Breaker, Decision, Later, Outcome
from services.notifications.sending import Sendable, Sender

AT_A_TIME: Final = 4
"""Messages under way on a channel, and so what a crash may send twice."""
SEND_SECONDS_MAX: Final = 60.0
"""For one message, all of its steps."""
STOP_SECONDS_MAX: Final = 20.0
"""For what is under way at a stop; what takes longer is sent again by somebody else."""
LEASE_SECONDS: Final = 120.0
"""Longer than that and what recording it may take, so that nobody else has it meanwhile."""
POLL_SECONDS: Final = 0.5
"""Between two looks while nothing is due."""
DATABASE_PAUSE_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 5.0
"""Between two looks at how much waits."""

BEFORE_SEND: Final = "notifications.before_send"
SENT_UNRECORDED: Final = "notifications.sent_unrecorded"
RECORDED: Final = "notifications.recorded"
FAIL_POINTS: Final = (BEFORE_SEND, SENT_UNRECORDED, RECORDED)
"""Where a worker may die: nothing is lost, and at the second one a message is sent once more."""

LOST: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What a database says that is away, or does not do it."""

Answer = TypeVar("Answer")
log: Final = logs.logger()


@dataclass(frozen=True)
class Limits:
    """What bounds a worker; other values are for tests."""

    at_a_time: int = AT_A_TIME
    send_seconds_max: float = SEND_SECONDS_MAX
    lease_seconds: float = LEASE_SECONDS
    poll_seconds: float = POLL_SECONDS
    retry_scale: float = 1.0
    """Of the pauses between two tries."""


class Worker:
    """Sends the messages of one channel."""

    def __init__(
        self,
        channel: Channel,
        sender: Sender,
        pool: Pool,
        *,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        fraction: Callable[[], float] = random.random,
    ) -> None:
        self._channel = channel
        self._sender = sender
        self._pool = pool
        self._limits = limits or Limits()
        self._clock = clock
        self._fraction = fraction
        self._breaker = Breaker()
        self._under_way: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._meter = metrics.notification_meter(channel.value)
        self._is_database_away = False

    async def run(self) -> None:
        """Send until cancelled, and then end what is under way."""
        looking = asyncio.create_task(self._look())
        try:
            while True:
                await self._step()
        finally:
            looking.cancel()
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=STOP_SECONDS_MAX)
            for task in self._under_way:
                task.cancel()
            await self._sender.close()

    async def _step(self) -> None:
        """Begin what may be begun, and wait for something to end or to be due."""
        self._wake.clear()
        free = self._limits.at_a_time - len(self._under_way)
        room = self._breaker.room(time.monotonic(), free)
        self._meter.away.set(self._breaker.is_open)
        leased = await self._lease(room) if room else []
        for one in leased:
            self._breaker.began()
            task = asyncio.create_task(self._work(one))
            self._under_way.add(task)
            task.add_done_callback(self._ended)
        if len(leased) < room or not room:
            try:
                async with asyncio.timeout(self._limits.poll_seconds):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Of ours; its lease runs out. A probe that came to nothing must not be waited for.
            self._breaker.unused()
            faults.record("notifications", self._channel.value, error)

    async def _lease(self, limit: int) -> list[Leased]:
        lasts = timedelta(seconds=self._limits.lease_seconds)
        found = await self._with_database(
            lambda it: message_store.lease(it, self._channel, self._clock(), limit, lasts)
        )
        if found is None:
            await asyncio.sleep(DATABASE_PAUSE_SECONDS)
            return []
        return found

    async def _work(self, leased: Leased) -> None:
        """Send one message, unless there is a reason not to, and record what came of it."""
        now = self._clock()
        reason = not_to_send(leased, now)
        if reason is not None:
            self._breaker.unused()
            if isinstance(reason, datetime):
                await self._with_database(lambda it: message_store.postpone(it, leased, reason))
            else:
                await self._record(leased, reason, "", now)
            return
        address = leased.contact.address(self._channel) if leased.contact else ""
        failpoints.reach(BEFORE_SEND)
        began = time.monotonic()
        outcome = await self._send(leased, address)
        self._meter.seconds.observe(time.monotonic() - began)
        failpoints.reach(SENT_UNRECORDED)
        self._breaker.ended(outcome, time.monotonic(), self._fraction())
        now = self._clock()
        fraction = self._fraction()
        decision = outcomes.decide(outcome, leased.tries, now, leased.expires_at, fraction)
        decision = _scaled(decision, now, self._limits.retry_scale)
        await self._record(leased, decision, addresses.masked(self._channel, address), now)
        failpoints.reach(RECORDED)

    async def _send(self, leased: Leased, address: str) -> Outcome:
        sendable = Sendable(
            leased.notification_id, address, leased.language, leased.parts, leased.created_at
        )
        try:
            async with asyncio.timeout(self._limits.send_seconds_max):
                return await self._sender.send(sendable)
        except TimeoutError:
            return Later("TIMEOUT")
        except Exception as error:  # Of ours; one message must not stop the channel.
            faults.record("notifications", self._channel.value, error)
            return Later("INTERNAL")

    async def _record(
        self, leased: Leased, decision: Decision, masked_address: str, now: datetime
    ) -> None:
        """Write down what became of a message, for as long as the lease is ours."""
        stop_by = time.monotonic() + self._limits.lease_seconds
        while time.monotonic() < stop_by:
            recorded = await self._with_database(
                lambda it: message_store.record(it, leased, decision, masked_address, now)
            )
            if recorded is not None:
                self._meter.count(decision.state if recorded else "fenced")
                self._note(leased, decision)
                return
            await asyncio.sleep(DATABASE_PAUSE_SECONDS)
        # The lease is over: whoever has the message next sends it again.
        log.warning("notification_unrecorded", notification_id=leased.notification_id)

    def _note(self, leased: Leased, decision: Decision) -> None:
        if decision.state == "failed":
            log.warning(
                "notification_failed",
                notification_id=leased.notification_id,
                channel=self._channel.value,
                type=leased.type,
                problem=decision.problem,
            )

    async def _with_database(
        self, work: Callable[[Connection], Awaitable[Answer]]
    ) -> Answer | None:
        """Return what a piece of work says; None if the database does not do it just now."""
        try:
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
                answer = await work(connection)
        except LOST as error:
            if not self._is_database_away:
                self._is_database_away = True
                log.warning("notifications_wait", on="database", reason=type(error).__name__)
            return None
        self._is_database_away = False
        return answer

    async def _look(self) -> None:
        """Show how much waits."""
        while True:
            behind = await self._with_database(
                lambda it: message_store.behind(it, self._channel, self._clock())
            )
            if behind is not None:
                self._meter.pending.set(behind.pending)
                age = (self._clock() - behind.oldest_at).total_seconds() if behind.oldest_at else 0
                self._meter.oldest.set(max(age, 0.0))
            await asyncio.sleep(LOOK_SECONDS)


def not_to_send(leased: Leased, now: datetime) -> Decision | datetime | None:
    """Return why a message is not sent now: for good, or until when; None if it is."""
    if now >= leased.expires_at:
        return Decision("failed", False, outcomes.TOO_OLD)
    contact = leased.contact
    if contact is None or not contact.address(leased.channel):
        return Decision("cancelled", False, outcomes.NO_ADDRESS)
    kind = BY_TYPE.get(leased.type, Kind(leased.type, leased.urgent))
    if not contact.wants(kind, leased.channel):
        return Decision("cancelled", False, outcomes.OPTED_OUT)
    after = contact.send_after(kind, now)
    return after if after > now else None


def _scaled(decision: Decision, now: datetime, scale: float) -> Decision:
    if decision.next_try_at is None or scale == 1.0:
        return decision
    pause = (decision.next_try_at - now) * scale
    return Decision(
        decision.state, decision.counts, decision.problem, decision.reference, now + pause
    )
