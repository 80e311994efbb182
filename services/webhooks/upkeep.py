"""What is done now and then: old rows go, secrets get the current key, queues are counted."""

import asyncio
import datetime
from typing import Final

import asyncpg

from kit import faults, logs, metrics
from services.database import ACQUIRE_SECONDS_MAX, Connection, Pool
from services.webhooks import schedule
from services.webhooks.sealing import Keys, Sealed, Unreadable, place_of
from services.webhooks.worker import DATABASE_ERRORS

EVERY_SECONDS: Final = 10.0
ROWS_MAX: Final = 1_000
"""Deleted or changed in one statement, so that none takes long."""
STATEMENTS_MAX: Final = 20
"""Of one kind in one round."""

_COUNT_PENDING: Final = """
UPDATE queues SET pending = counted.pending
  FROM (
    SELECT queues.endpoint_id, count(delivery_id) AS pending
      FROM queues
      LEFT JOIN deliveries
        ON deliveries.endpoint_id = queues.endpoint_id AND deliveries.state = 'pending'
     GROUP BY queues.endpoint_id
  ) AS counted
 WHERE queues.endpoint_id = counted.endpoint_id AND queues.pending <> counted.pending
"""
_FIGURES: Final = """
SELECT coalesce(sum(pending) FILTER (WHERE state = 'enabled'), 0)::bigint AS pending,
       count(*) FILTER (WHERE state = 'enabled' AND failing_since IS NULL) AS healthy,
       count(*) FILTER (WHERE state = 'enabled' AND failing_since IS NOT NULL) AS failing,
       count(*) FILTER (WHERE state = 'disabled') AS disabled,
       coalesce(extract(epoch FROM now() - min(due_at) FILTER (
           WHERE state = 'enabled' AND due_at <= now() AND leased_until < now()
       )), 0)::float8 AS due_seconds
  FROM queues
  JOIN endpoints ON endpoints.endpoint_id = queues.endpoint_id
"""
_OLDEST: Final = """
SELECT coalesce(extract(epoch FROM now() - min(head.created_at)), 0)::float8
  FROM endpoints
 CROSS JOIN LATERAL (
    SELECT created_at FROM deliveries
     WHERE deliveries.endpoint_id = endpoints.endpoint_id AND state = 'pending'
     ORDER BY place
     LIMIT 1
 ) AS head
 WHERE endpoints.state = 'enabled'
"""
# Nobody serves those; what is enabled gives up by itself.
_GIVE_UP: Final = """
UPDATE deliveries SET state = 'failed', cause = $2, next_at = NULL, ended_at = now()
 WHERE delivery_id IN (
    SELECT delivery_id FROM deliveries
      JOIN endpoints ON endpoints.endpoint_id = deliveries.endpoint_id
     WHERE endpoints.state = 'disabled'
       AND deliveries.state = 'pending'
       AND deliveries.expires_at <= now()
     LIMIT $1
       FOR UPDATE OF deliveries SKIP LOCKED
 )
"""
_DELETE_OLD: Final = """
DELETE FROM deliveries
 WHERE delivery_id IN (
    SELECT delivery_id FROM deliveries
     WHERE ended_at < now() - $2::interval
     ORDER BY ended_at
     LIMIT $1
       FOR UPDATE SKIP LOCKED
 )
"""
_DELETE_OF_DELETED: Final = """
DELETE FROM deliveries
 WHERE delivery_id IN (
    SELECT delivery_id FROM deliveries
      JOIN endpoints ON endpoints.endpoint_id = deliveries.endpoint_id
     WHERE endpoints.state = 'deleted'
     LIMIT $1
       FOR UPDATE OF deliveries SKIP LOCKED
 )
"""
# An hour, in which a call that is repeated still finds that it was deleted.
_DELETE_ENDPOINTS: Final = """
DELETE FROM endpoints
 WHERE endpoint_id IN (
    SELECT endpoint_id FROM endpoints
     WHERE state = 'deleted'
       AND updated_at < now() - interval '1 hour'
       AND NOT EXISTS (
           SELECT 1 FROM deliveries WHERE deliveries.endpoint_id = endpoints.endpoint_id
       )
     LIMIT $1
       FOR UPDATE SKIP LOCKED
 )
"""
_DELETE_SECRETS: Final = """
DELETE FROM secrets
 WHERE (endpoint_id, number) IN (
    SELECT endpoint_id, number FROM secrets
     WHERE expires_at < now() - interval '1 day'
     LIMIT $1
 )
"""
# Older than a transaction of a consumer may be, in which a message comes before its deliveries.
_DELETE_MESSAGES: Final = """
DELETE FROM messages
 WHERE event_id IN (
    SELECT event_id FROM messages
     WHERE created_at < now() - greatest($2::interval, interval '1 hour')
       AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = messages.event_id)
     ORDER BY created_at
     LIMIT $1
       FOR UPDATE SKIP LOCKED
 )
"""
_UNDER_OTHER_KEYS: Final = """
SELECT endpoint_id, number, key_id, sealed FROM secrets WHERE key_id <> $1 LIMIT $2
"""
_RESEAL: Final = """
UPDATE secrets SET key_id = $3, sealed = $4
 WHERE endpoint_id = $1 AND number = $2 AND key_id = $5
"""

_log = logs.logger()


class Upkeep:
    """Safe in any number of processes at once."""

    def __init__(
        self, pool: Pool, keys: Keys, log_kept: datetime.timedelta, every_seconds: float
    ) -> None:
        """`log_kept` is how long deliveries are kept once they ended."""
        self._pool = pool
        self._keys = keys
        self._log_kept = log_kept
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self.once()
            except DATABASE_ERRORS as error:
                _log.warning("webhooks_upkeep_waits", error=type(error).__name__)
            except Exception as error:  # Of ours; deliveries must not stop for it.
                faults.record("webhooks", "upkeep", error)
            await asyncio.sleep(self._every_seconds)

    async def once(self) -> None:
        """Do all of it once."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            await connection.execute(_COUNT_PENDING)
            figures = await connection.fetchrow(_FIGURES)
            oldest = await connection.fetchval(_OLDEST)
        assert figures is not None
        metrics.WEBHOOKS_PENDING.set(figures["pending"])
        metrics.WEBHOOKS_DUE_SECONDS.set(figures["due_seconds"])
        metrics.WEBHOOKS_OLDEST_SECONDS.set(oldest)
        for state in ("healthy", "failing", "disabled"):
            metrics.WEBHOOKS_ENDPOINTS.labels(state).set(figures[state])
        given_up = await self._in_parts(_GIVE_UP, schedule.TOO_OLD)
        metrics.WEBHOOKS_DELIVERIES.labels(schedule.TOO_OLD).inc(given_up)
        await self._in_parts(_DELETE_OLD, self._log_kept)
        await self._in_parts(_DELETE_OF_DELETED)
        await self._in_parts(_DELETE_ENDPOINTS)
        await self._in_parts(_DELETE_SECRETS)
        await self._in_parts(_DELETE_MESSAGES, self._log_kept)
        await self._reseal()

    async def _in_parts(self, sql: str, *values: object) -> int:
        """Run a statement until it finds nothing more; return how many rows it changed."""
        changed = 0
        for _ in range(STATEMENTS_MAX):
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
                status = await connection.execute(sql, ROWS_MAX, *values)
            count = int(status.rpartition(" ")[2])
            changed += count
            if count < ROWS_MAX:
                break
        return changed

    async def _reseal(self) -> None:
        """Put secrets under the current key, so that an earlier one can go."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            rows = await connection.fetch(_UNDER_OTHER_KEYS, self._keys.current, ROWS_MAX)
            done = 0
            for row in rows:
                done += await self._reseal_one(connection, row)
        if done:
            _log.info("webhooks_resealed", secrets=done, key_id=self._keys.current)

    async def _reseal_one(self, connection: Connection, row: asyncpg.Record) -> int:
        """Return how many were; what no key opens is left, and its deliveries say so."""
        place = place_of(row["endpoint_id"], row["number"])
        try:
            secret = self._keys.open(Sealed(row["key_id"], row["sealed"]), place)
        except Unreadable:
            return 0
        sealed = self._keys.seal(secret, place)
        await connection.execute(_RESEAL, row["endpoint_id"], row["number"], *sealed, row["key_id"])
        return 1
