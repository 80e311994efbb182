"""Looks now and then whether a failover took back what is shown: then a rebuild is needed."""

import asyncio
from typing import Final

from kit import metrics
from services.calls import Refused
from services.database import Pool
from services.reporting import queries

LOOK_SECONDS: Final = 60.0


class Histories:
    """A part of the service."""

    def __init__(self, pool: Pool, seconds: float = LOOK_SECONDS) -> None:
        self._pool = pool
        self._seconds = seconds

    async def run(self) -> None:
        """Look until cancelled; while the database is away the last word stands."""
        while True:
            try:
                async with queries.snapshot(self._pool) as snapshot:
                    metrics.REPORTING_HISTORIES_LOST.set(await snapshot.histories_lost())
            except Refused:
                pass  # The consumer says what is wrong, and health shows it.
            await asyncio.sleep(self._seconds)
