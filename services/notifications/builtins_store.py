"""Brings the templates that come with this version into the database."""

import asyncio
from typing import Final

from kit import logs
from services.database import ACQUIRE_SECONDS_MAX, Pool
from services.notifications import defaults, template_store
from services.notifications.worker import LOST

PAUSE_SECONDS: Final = 1.0

log: Final = logs.logger()


async def bring(pool: Pool) -> None:
    """Put those that are not there as they are here; wait for the database as long as it takes.

    Before it is done events find none, and are parked: it is done before anything is listened to.
    """
    templates = defaults.load()
    while True:
        try:
            async with pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
                for template in templates:
                    await template_store.put(connection, template_store.BUILT_IN, template)
        except LOST as error:
            log.warning("notifications_wait", on="database", reason=type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return
