"""Deliveries in Postgres, as callers see them and have them tried again."""

import contextlib
import datetime
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, NamedTuple

import asyncpg

from services.database import ACQUIRE_SECONDS_MAX, Connection, Pool
from services.webhooks import schedule
from services.webhooks.endpoint_store import Owner

ATTEMPTS_SHOWN_MAX: Final = 20
REDELIVERED_MAX: Final = 1_000

_LIST: Final = """
SELECT delivery_id, deliveries.endpoint_id, deliveries.event_id, event_type, entity_id,
       deliveries.state, cause, attempts, next_at, deliveries.created_at, ended_at
  FROM deliveries
  JOIN endpoints ON endpoints.endpoint_id = deliveries.endpoint_id
  JOIN messages ON messages.event_id = deliveries.event_id
 WHERE endpoints.tenant_id = $1
   AND ($2 = '' OR merchant_id = $2)
   AND ($3 = '' OR deliveries.endpoint_id = $3)
   AND ($4 = '' OR deliveries.state = $4)
   AND ($5 = '' OR deliveries.event_id = $5)
   AND ($6 = '' OR delivery_id < $6)
   AND endpoints.state <> 'deleted'
 ORDER BY delivery_id DESC
 LIMIT $7
"""
_ATTEMPTS: Final = """
SELECT attempts.delivery_id, number, started_at, duration_ms, status_code, attempts.cause
  FROM attempts
  JOIN deliveries ON deliveries.delivery_id = attempts.delivery_id
 WHERE attempts.delivery_id = ANY($1::text[]) AND number > deliveries.attempts - $2::integer
 ORDER BY attempts.delivery_id, number
"""
_LOCK: Final = """
SELECT state FROM queues
  JOIN endpoints ON endpoints.endpoint_id = queues.endpoint_id
 WHERE tenant_id = $1
   AND ($2 = '' OR merchant_id = $2)
   AND queues.endpoint_id = $3
   AND state <> 'deleted'
   FOR UPDATE OF queues
"""
_STATE: Final = "SELECT state FROM deliveries WHERE endpoint_id = $1 AND delivery_id = $2"
_FAILED: Final = """
SELECT delivery_id FROM deliveries
 WHERE endpoint_id = $1 AND state = 'failed' AND created_at >= $2
 ORDER BY place
 LIMIT $3
"""
# Behind what waits, in the order in which they are named.
_QUEUE_AGAIN: Final = """
WITH chosen AS MATERIALIZED (
    SELECT delivery_id, nextval('delivery_places') AS new_place
      FROM (
        SELECT delivery_id FROM unnest($2::text[]) WITH ORDINALITY AS rows (delivery_id, ordinal)
         ORDER BY ordinal
      ) AS named
)
UPDATE deliveries
   SET state = 'pending', cause = '', tries = 0, next_at = NULL, ended_at = NULL,
       place = new_place, expires_at = now() + $3::interval
  FROM chosen
 WHERE deliveries.delivery_id = chosen.delivery_id
   AND deliveries.endpoint_id = $1
   AND state <> 'pending'
"""
_WAKE: Final = """
UPDATE queues SET due_at = coalesce(due_at, now()), touched = touched + 1 WHERE endpoint_id = $1
"""


class Wanted(NamedTuple):
    """Which deliveries; empty for all."""

    endpoint_id: str
    state: str
    event_id: str


class EndpointUnknown(Exception):
    """There is no such endpoint for whoever asks."""


class EndpointDisabled(Exception):
    """Nothing is delivered to it."""


class DeliveryUnknown(Exception):
    """The endpoint has no such delivery."""


class DeliveryStore:
    """Every method is one transaction. Raises what is said, and what asyncpg raises."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, owner: Owner, wanted: Wanted, before: str, limit: int
    ) -> Sequence[asyncpg.Record]:
        """Return deliveries with ids lower than `before`, newest first."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            return await connection.fetch(_LIST, *owner, *wanted, before, limit)

    async def attempts(self, delivery_ids: Sequence[str]) -> Mapping[str, list[asyncpg.Record]]:
        """Return the latest attempts by delivery, oldest first."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            rows = await connection.fetch(_ATTEMPTS, list(delivery_ids), ATTEMPTS_SHOWN_MAX)
        found: dict[str, list[asyncpg.Record]] = {}
        for row in rows:
            found.setdefault(row["delivery_id"], []).append(row)
        return found

    async def redeliver_one(self, owner: Owner, endpoint_id: str, delivery_id: str) -> int:
        """Queue a delivery again unless it waits; return how many are.

        Raises EndpointUnknown, EndpointDisabled or DeliveryUnknown.
        """
        async with self._locked(owner, endpoint_id) as connection:
            if await connection.fetchval(_STATE, endpoint_id, delivery_id) is None:
                raise DeliveryUnknown
            return await _queue_again(connection, endpoint_id, [delivery_id])

    async def redeliver_failed(
        self, owner: Owner, endpoint_id: str, since: datetime.datetime
    ) -> int:
        """Queue what failed again, at most REDELIVERED_MAX; return how many are.

        Raises EndpointUnknown or EndpointDisabled.
        """
        async with self._locked(owner, endpoint_id) as connection:
            rows = await connection.fetch(_FAILED, endpoint_id, since, REDELIVERED_MAX)
            return await _queue_again(connection, endpoint_id, [row["delivery_id"] for row in rows])

    @contextlib.asynccontextmanager
    async def _locked(self, owner: Owner, endpoint_id: str) -> AsyncIterator[Connection]:
        async with (
            self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection,
            connection.transaction(),
        ):
            state = await connection.fetchval(_LOCK, *owner, endpoint_id)
            if state is None:
                raise EndpointUnknown
            if state != "enabled":
                raise EndpointDisabled
            yield connection


async def _queue_again(connection: Connection, endpoint_id: str, ids: Sequence[str]) -> int:
    status = await connection.execute(_QUEUE_AGAIN, endpoint_id, list(ids), schedule.AGE_MAX)
    await connection.execute(_WAKE, endpoint_id)
    return int(status.rpartition(" ")[2])
