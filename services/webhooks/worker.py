"""Delivers what is queued: one delivery of an endpoint after the other, many endpoints at once.

An endpoint is leased, and under its lease the front of its queue is sent and each result recorded
at once. A worker that dies leaves its leases to run out; what it had sent and not recorded is sent
again, one delivery for each endpoint that it had in hand. A worker that was paused for longer than
its lease is refused when it records.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

import asyncpg

from kit import faults, logs, metrics
from services.webhooks.queue_store import Claim, LeaseLost, QueueStore
from services.webhooks.sealing import Keys
from services.webhooks.turns import Limits, Sends, Tools, Turn

POLL_SECONDS: Final = 0.2
"""Between two looks for what is due."""
DOWN_SECONDS_MAX: Final = 5.0
"""The same while the database is away."""

DATABASE_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

_log = logs.logger()


class DeliveryWorker:
    """One of any number, in any number of processes."""

    def __init__(
        self,
        store: QueueStore,
        sender: Sends,
        keys: Keys,
        limits: Limits,
        *,
        concurrency: int,
        poll_seconds: float = POLL_SECONDS,
        fraction: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`concurrency` is the number of endpoints that it has in hand at once."""
        self._store = store
        self._stopping = asyncio.Event()
        self._tools = Tools(store, sender, keys, limits, self._stopping, fraction, clock)
        self._concurrency = concurrency
        self._poll_seconds = poll_seconds
        self._serving: set[asyncio.Task[None]] = set()
        self._failures = 0
        for cause in ("failing", "gone"):
            # From the start, or the first one would not be seen to rise.
            metrics.WEBHOOKS_DISABLED.labels(cause)

    @property
    def problem(self) -> str:
        """What keeps it from delivering anything, for health; empty if nothing does."""
        return "the database does not answer" if self._failures else ""

    async def run(self) -> None:
        """Deliver until cancelled; the attempts under way are recorded before it ends."""
        try:
            while True:
                for claim in await self._claim():
                    task = asyncio.create_task(self._serve(claim))
                    self._serving.add(task)
                    task.add_done_callback(self._serving.discard)
                metrics.WEBHOOKS_IN_FLIGHT.set(len(self._serving))
                await asyncio.sleep(self._pause_seconds())
        finally:
            self._stopping.set()
            await self._end()
            metrics.WEBHOOKS_IN_FLIGHT.set(0)

    async def _end(self) -> None:
        if not self._serving:
            return
        _, late = await asyncio.wait(self._serving, timeout=self._tools.limits.attempt_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _claim(self) -> list[Claim]:
        free = self._concurrency - len(self._serving)
        if free <= 0:
            return []
        try:
            found = list(await self._store.claim(free))
        except DATABASE_ERRORS as error:
            if not self._failures:
                _log.warning("webhooks_wait", on="database", error=type(error).__name__)
            self._failures += 1
            return []
        if self._failures:
            self._failures = 0
            _log.info("webhooks_go_on")
        return found

    def _pause_seconds(self) -> float:
        return min(DOWN_SECONDS_MAX, self._poll_seconds * 2.0 ** min(self._failures, 10))

    async def _serve(self, claim: Claim) -> None:
        try:
            await Turn(self._tools, claim).take()
        except LeaseLost:
            metrics.WEBHOOKS_LEASES_LOST.inc()
            _log.warning("webhook_lease_lost", endpoint_id=claim.endpoint_id)
        except DATABASE_ERRORS as error:
            # Its lease runs out, and whoever is next goes on.
            what = type(error).__name__
            _log.warning("webhook_turn_ended", endpoint_id=claim.endpoint_id, error=what)
        except Exception as error:  # Of ours; one endpoint must never stop the others.
            faults.record("webhooks", "deliver", error)
