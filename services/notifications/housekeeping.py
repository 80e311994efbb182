"""Forgets what is old: the texts of messages first, then that there were any."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from kit import logs
from services.database import ACQUIRE_SECONDS_MAX, Pool
from services.notifications import message_store
from services.notifications.worker import LOST

ROUND_SECONDS: Final = 600.0
ROWS_MAX: Final = 1_000
"""At a time."""
PAUSE_SECONDS: Final = 0.05

log: Final = logs.logger()


class Housekeeping:
    """Does so now and then."""

    def __init__(
        self,
        pool: Pool,
        *,
        texts_days: int,
        log_days: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._texts = timedelta(days=texts_days)
        self._log = timedelta(days=log_days)
        self._clock = clock

    async def run(self) -> None:
        """Do so until cancelled."""
        while True:
            try:
                await self.round()
            except LOST as error:
                log.warning("notifications_wait", on="database", reason=type(error).__name__)
            await asyncio.sleep(ROUND_SECONDS)

    async def round(self) -> None:
        """Forget all that is old enough."""
        now = self._clock()
        for forget, before in (
            (message_store.forget_texts, now - self._texts),
            (message_store.forget, now - self._log),
        ):
            forgotten = ROWS_MAX
            while forgotten == ROWS_MAX:
                async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
                    forgotten = await forget(connection, before, ROWS_MAX)
                await asyncio.sleep(PAUSE_SECONDS)
