"""Events of payments whose payer is not known yet: kept, and told of once the account is.

Accounts are told in a topic of their own, which may be read later. What waits here has had its
place in the inbox, so that a template which is missing then parks nothing: it waits too, is shown,
and goes on by itself once there is one.
"""

import asyncio
from collections.abc import Callable, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Final

from kit import logs, metrics
from services.database import ACQUIRE_SECONDS_MAX, Connection, Pool
from services.notifications import contact_store, payments, writing
from services.notifications.kinds import ALL, Audience, Channel
from services.notifications.messages import AGE_MAX, NoTemplate
from services.notifications.worker import LOST
from tender.v1 import event_pb2

AT_A_TIME: Final = 100
POLL_SECONDS: Final = 1.0
TEMPLATE_PAUSE: Final = timedelta(seconds=30)
"""Before it is looked whether a template is there meanwhile."""
COUNTED_MAX: Final = 10_000

_PUT: Final = """
INSERT INTO unowned_events (event_id, tenant_id, account_id, event)
SELECT event_id, tenant_id, account_id, event
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[])
    AS told (event_id, tenant_id, account_id, event)
ON CONFLICT (event_id) DO NOTHING
"""
_TAKE: Final = """
SELECT unowned.event_id, unowned.event
  FROM unowned_events AS unowned
  JOIN account_owners USING (account_id)
 WHERE unowned.next_try_at <= $1
 ORDER BY unowned.created_at
 LIMIT $2
   FOR UPDATE OF unowned SKIP LOCKED
"""
_DONE: Final = "DELETE FROM unowned_events WHERE event_id = ANY($1::text[])"
_PUT_OFF: Final = """
UPDATE unowned_events SET problem = $2, next_try_at = $3 WHERE event_id = $1
"""
_TOO_OLD: Final = "DELETE FROM unowned_events WHERE created_at < $1"
_COUNT: Final = "SELECT count(*) FROM (SELECT 1 FROM unowned_events LIMIT $1) AS counted"

log: Final = logs.logger()


async def put(connection: Connection, events: Sequence[event_pb2.Event]) -> None:
    """Keep events, for their payers alone."""
    if events:
        await connection.execute(
            _PUT,
            [it.id for it in events],
            [it.tenant_id for it in events],
            [it.payment.payment.payer_account_id for it in events],
            [it.SerializeToString() for it in events],
        )


class Unowned:
    """Tells of what was kept, as soon as it is known whom."""

    def __init__(
        self,
        pool: Pool,
        available: Set[Channel] = ALL,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._available = available
        self._clock = clock

    async def run(self) -> None:
        """Do so until cancelled."""
        while True:
            try:
                done = await self.step()
            except LOST as error:
                log.warning("notifications_wait", on="database", reason=type(error).__name__)
                done = 0
            if done < AT_A_TIME:
                await asyncio.sleep(POLL_SECONDS)

    async def step(self) -> int:
        """Tell of some; return how many were looked at."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            async with connection.transaction():
                rows = await connection.fetch(_TAKE, self._clock(), AT_A_TIME)
                events = [event_pb2.Event.FromString(row["event"]) for row in rows]
                await self._tell(connection, events)
                await connection.execute(_TOO_OLD, self._clock() - AGE_MAX)
            metrics.NOTIFICATIONS_UNOWNED.set(await connection.fetchval(_COUNT, COUNTED_MAX))
        return len(rows)

    async def _tell(self, connection: Connection, events: Sequence[event_pb2.Event]) -> None:
        if not events:
            return
        owners = await contact_store.owners(connection, payments.payers(events))
        names = await contact_store.merchant_names(connection, payments.merchants(events))
        done: list[str] = []
        for event in events:
            matters = payments.matters(event, owners, names, [Audience.PAYER])
            try:
                writing.count(
                    await writing.write(connection, matters, self._available, self._clock())
                )
            except NoTemplate as problem:
                # Nothing of it was written: messages are stored after all of them are made.
                later = self._clock() + TEMPLATE_PAUSE
                await connection.execute(_PUT_OFF, event.id, problem.cause, later)
                log.warning("notification_waits", event_id=event.id, reason=problem.text)
                continue
            done.append(event.id)
        await connection.execute(_DONE, done)
