"""Keeps the projection as new as the topics: a batch of events in one transaction."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from processor.consumers.ports import DependencyDown
from services.reporting import store, told
from services.reporting.records import Records
from tender.v1 import event_pb2

NAME: Final = "reporting"

SWAP_LOCK: Final = 0x7265706F7274
"""Held shared by who writes into `report`, and alone by who puts another one in its place."""

LOCK_SECONDS_MAX: Final = 3
"""A swap takes less; who waits for longer says so and waits on, and no event is to blame."""

ENTER: Final = f"""
SET LOCAL search_path = report, public;
SET LOCAL lock_timeout = '{LOCK_SECONDS_MAX}s';
SELECT pg_advisory_xact_lock_shared({SWAP_LOCK});
"""


class Projection:
    """The handler of the reporting service."""

    name: str = NAME
    topics: Sequence[str] = told.TOPICS

    async def handle(self, messages: Sequence[event_pb2.Event], transaction: Any) -> None:
        """Take events in."""
        records = Records()
        for event in messages:
            told.collect(event, records)
        try:
            await transaction.execute(ENTER)
        except asyncpg.LockNotAvailableError:
            raise DependencyDown("the projection is being exchanged") from None
        await store.write(transaction, records)
