"""What a worker does with one endpoint under one lease: attempts, each recorded at once."""

import asyncio
import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from kit import failpoints, logs, metrics
from services.webhooks import schedule, sending, signing
from services.webhooks.queue_store import Claim, Queued, QueueStore, Work
from services.webhooks.schedule import DeadRules, Result, Verdict
from services.webhooks.sealing import Keys, Unreadable, place_of

PORTION_MAX: Final = 20
"""Deliveries of an endpoint that are loaded at a time."""
TURN_SECONDS_MAX: Final = 10.0
"""So long an endpoint is served before others have their turn."""
LEASE_MARGIN_SECONDS: Final = 10.0
"""A lease outlives an attempt by that: for the database's answers, and for a slow clock of ours."""
UNREADABLE_SECONDS: Final = 60.0
"""An endpoint whose secret no key opens is looked at again after that."""

BEFORE_SEND: Final = "webhooks.before_send"
SENT: Final = "webhooks.sent"
FAIL_POINTS: Final = (BEFORE_SEND, SENT)
"""Where a worker may die: what it had in hand is sent at most once more."""

_log = logs.logger()


class Sends(Protocol):
    """What sends: `sending.Sender`."""

    async def send(self, url: str, headers: dict[str, str], body: str) -> Result: ...


@dataclass(frozen=True)
class Limits:
    """What bounds attempts and turns; other values are for tests."""

    dead: DeadRules
    attempt_seconds_max: float = sending.SECONDS_MAX
    turn_seconds_max: float = TURN_SECONDS_MAX
    lease_margin_seconds: float = LEASE_MARGIN_SECONDS

    @property
    def attempt_seconds(self) -> float:
        """The longest that an attempt takes, with what is read of its answer."""
        return self.attempt_seconds_max + sending.ANSWER_SECONDS_MAX

    @property
    def lease(self) -> datetime.timedelta:
        """Of an endpoint, from each record on."""
        return datetime.timedelta(seconds=self.attempt_seconds + self.lease_margin_seconds)


@dataclass(frozen=True)
class Tools:
    """What turns are taken with."""

    store: QueueStore
    sender: Sends
    keys: Keys
    limits: Limits
    stopping: asyncio.Event
    fraction: Callable[[], float]
    clock: Callable[[], float]


class Turn:
    """One turn. Raises LeaseLost, and what the store raises; the lease then runs out by itself."""

    def __init__(self, tools: Tools, claim: Claim) -> None:
        self._tools = tools
        self._store = tools.store
        self._limits = tools.limits
        self._claim = claim
        self._began = self._renewed = time.monotonic()

    async def take(self) -> None:
        """Deliver from the front of the queue while that goes, and give the endpoint back."""
        while not self._is_over():
            loaded_at = time.monotonic()
            work = await self._store.load(self._claim, PORTION_MAX)
            if work is None or not (work.is_enabled and work.secrets and work.queued):
                await self._store.release(self._claim, None)
                return
            if not await self._portion(work, loaded_at):
                return
        await self._store.go_on(self._claim)

    def _is_over(self) -> bool:
        """Say whether no further attempt is to begin: the turn or the lease could end before it."""
        now = time.monotonic()
        left = self._limits.lease.total_seconds() - (now - self._renewed)
        return (
            self._tools.stopping.is_set()
            or now - self._began >= self._limits.turn_seconds_max
            or left < self._limits.attempt_seconds
        )

    async def _portion(self, work: Work, loaded_at: float) -> bool:
        """Deliver what was loaded; say whether to load again. If not, all is given back."""
        try:
            secrets = self._secrets(work)
        except Unreadable as unreadable:
            endpoint_id, reason = self._claim.endpoint_id, str(unreadable)
            _log.error("webhook_secret_unreadable", endpoint_id=endpoint_id, reason=reason)
            metrics.INTERNAL_ERRORS.labels("webhooks").inc()
            await self._store.release(self._claim, UNREADABLE_SECONDS)
            return False
        for queued in work.queued:
            left_seconds = queued.left_seconds - (time.monotonic() - loaded_at)
            if left_seconds <= 0:
                given_up = await self._store.give_up_old(self._claim)
                metrics.WEBHOOKS_DELIVERIES.labels(schedule.TOO_OLD).inc(given_up)
                return True
            if queued.wait_seconds > 0:
                await self._store.release(self._claim, min(queued.wait_seconds, left_seconds))
                return False
            if self._is_over():
                return True
            if not await self._attempt(work, queued, secrets):
                return False
        return True

    def _secrets(self, work: Work) -> list[str]:
        endpoint_id = self._claim.endpoint_id
        keys = self._tools.keys
        return [keys.open(sealed, place_of(endpoint_id, number)) for number, sealed in work.secrets]

    async def _attempt(self, work: Work, queued: Queued, secrets: list[str]) -> bool:
        """Send a delivery once; say whether the next one may follow, or else all is given back."""
        tools = self._tools
        started_at = datetime.datetime.fromtimestamp(tools.clock(), datetime.UTC)
        headers = signing.headers(queued.event_id, queued.body, secrets, started_at)
        failpoints.reach(BEFORE_SEND)
        result = await tools.sender.send(work.url, headers, queued.body)
        failpoints.reach(SENT)
        verdict = schedule.judged(result, queued.tries + 1, tools.fraction())
        failing = await self._store.record(self._claim, queued, result, verdict, started_at)
        self._renewed = time.monotonic()
        _count(result, verdict)
        if verdict.is_gone:
            await self._disable("gone", failing.failures)
            return False
        if failing.since is not None and schedule.is_dead(
            failing.since, failing.failures, failing.now, self._limits.dead
        ):
            await self._disable("failing", failing.failures)
            return False
        if verdict.state == "pending":
            wait = min(verdict.delay_seconds, max(queued.left_seconds, 0.0))
            await self._store.release(self._claim, wait)
            return False
        if failing.updated_at != work.updated_at:
            # Changed meanwhile: perhaps it is disabled, or goes elsewhere from now on.
            await self._store.go_on(self._claim)
            return False
        return True

    async def _disable(self, cause: str, failures: int) -> None:
        endpoint_id = self._claim.endpoint_id
        if await self._store.disable(self._claim, cause):
            metrics.WEBHOOKS_DISABLED.labels(cause).inc()
            _log.warning(
                "webhook_endpoint_disabled", endpoint_id=endpoint_id, cause=cause, failures=failures
            )
        await self._store.release(self._claim, None)


def _count(result: Result, verdict: Verdict) -> None:
    metrics.WEBHOOKS_ATTEMPTS.labels(result.cause or "ok").inc()
    metrics.WEBHOOKS_ATTEMPT_SECONDS.observe(result.seconds)
    if verdict.state != "pending":
        metrics.WEBHOOKS_DELIVERIES.labels(verdict.cause or "delivered").inc()
