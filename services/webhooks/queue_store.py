"""The queues in Postgres, as workers use them: what they record counts only under their lease."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import asyncpg

from services.database import ACQUIRE_SECONDS_MAX, Pool
from services.webhooks import schedule, signing
from services.webhooks.schedule import Result, Verdict
from services.webhooks.sealing import Sealed

OLD_ROWS_MAX: Final = 1_000
"""Deliveries that are given up for their age in one statement."""

_CLAIM: Final = """
WITH due AS (
    SELECT endpoint_id FROM queues
     WHERE due_at <= now() AND leased_until < now()
     ORDER BY due_at
     LIMIT $1
       FOR UPDATE SKIP LOCKED
)
UPDATE queues
   SET lease = lease + 1, leased_until = now() + $2::interval, owner = $3
  FROM due
 WHERE queues.endpoint_id = due.endpoint_id
RETURNING queues.endpoint_id, lease, touched
"""
_ENDPOINT: Final = """
SELECT url, state = 'enabled' AS is_enabled, updated_at FROM endpoints WHERE endpoint_id = $1
"""
_SECRETS: Final = """
SELECT number, key_id, sealed FROM secrets
 WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > now())
 ORDER BY number DESC
 LIMIT $2
"""
_QUEUED: Final = """
SELECT delivery_id, deliveries.event_id, event_type, tries, body,
       greatest(extract(epoch FROM next_at - now()), 0)::float8 AS wait_seconds,
       extract(epoch FROM expires_at - now())::float8 AS left_seconds
  FROM deliveries
  JOIN messages ON messages.event_id = deliveries.event_id
 WHERE endpoint_id = $1 AND state = 'pending'
 ORDER BY place
 LIMIT $2
"""
_RECORD: Final = """
WITH held AS (
    UPDATE queues
       SET leased_until = now() + $3::interval,
           last_success_at = CASE WHEN $4::boolean THEN now() ELSE last_success_at END,
           failing_since = CASE WHEN $4::boolean THEN NULL ELSE coalesce(failing_since, now()) END,
           failures = CASE WHEN $4::boolean THEN 0 ELSE failures + 1 END
     WHERE endpoint_id = $1 AND lease = $2
    RETURNING endpoint_id, failing_since, failures
), tried AS (
    UPDATE deliveries
       SET state = $6::text,
           cause = $7::text,
           tries = tries + 1,
           attempts = attempts + 1,
           next_at = CASE WHEN $6 = 'pending' THEN now() + $8::interval END,
           ended_at = CASE WHEN $6 <> 'pending' THEN now() END
      FROM held
     WHERE delivery_id = $5
       AND deliveries.endpoint_id = held.endpoint_id
       AND deliveries.state = 'pending'
    RETURNING delivery_id, attempts
), noted AS (
    INSERT INTO attempts (delivery_id, number, started_at, duration_ms, status_code, cause)
    SELECT delivery_id, attempts, $9::timestamptz, $10::integer, $11::integer, $12::text FROM tried
)
SELECT failing_since, failures, now() AS now,
       (SELECT updated_at FROM endpoints WHERE endpoints.endpoint_id = held.endpoint_id)
  FROM held
"""
_GIVE_UP_OLD: Final = """
WITH held AS (
    SELECT endpoint_id FROM queues WHERE endpoint_id = $1 AND lease = $2 FOR UPDATE
), old AS (
    SELECT delivery_id FROM deliveries
      JOIN held ON held.endpoint_id = deliveries.endpoint_id
     WHERE state = 'pending' AND expires_at <= now()
     ORDER BY place
     LIMIT $3
)
UPDATE deliveries SET state = 'failed', cause = $4, next_at = NULL, ended_at = now()
  FROM old
 WHERE deliveries.delivery_id = old.delivery_id
"""
# Not if something was queued meanwhile that this worker may not have seen.
_SLEEP: Final = """
UPDATE queues
   SET leased_until = '-infinity', owner = '', due_at = now() + $4::interval
 WHERE endpoint_id = $1 AND lease = $2 AND touched = $3
"""
_GO_ON: Final = """
UPDATE queues SET leased_until = '-infinity', owner = '', due_at = now()
 WHERE endpoint_id = $1 AND lease = $2
"""
# The queue first, as every change of an endpoint does it.
_DISABLE: Final = """
WITH held AS (
    SELECT endpoint_id FROM queues WHERE endpoint_id = $1 AND lease = $2 FOR UPDATE
)
UPDATE endpoints
   SET state = 'disabled', disabled_cause = $3, disabled_at = now(), updated_at = now()
  FROM held
 WHERE endpoints.endpoint_id = held.endpoint_id AND state = 'enabled'
"""


class LeaseLost(Exception):
    """Another worker has the endpoint: whatever this one did to it since counts for nothing."""


class Claim(NamedTuple):
    """An endpoint that this worker has, until its lease runs out."""

    endpoint_id: str
    lease: int
    touched: int


class Queued(NamedTuple):
    """A delivery that waits."""

    delivery_id: str
    event_id: str
    event_type: str
    tries: int
    body: str
    wait_seconds: float
    """Until it may be tried."""
    left_seconds: float
    """Until it is given up; negative when it should have been."""


@dataclass(frozen=True)
class Work:
    """What a worker needs to know of an endpoint."""

    url: str
    is_enabled: bool
    updated_at: datetime.datetime
    """Of the endpoint and its secrets; when it has changed, this is to be loaded again."""
    secrets: Sequence[tuple[int, Sealed]]
    """By number, newest first."""
    queued: Sequence[Queued]
    """The front of its queue."""


class Failing(NamedTuple):
    """How an endpoint fares after an attempt."""

    since: datetime.datetime | None
    failures: int
    now: datetime.datetime
    updated_at: datetime.datetime | None
    """As `Work` has it."""


class QueueStore:
    """Every method is one transaction. Raises LeaseLost, and what asyncpg raises."""

    def __init__(self, pool: Pool, owner: str, lease: datetime.timedelta) -> None:
        self._pool = pool
        self._owner = owner
        self._lease = lease

    async def claim(self, limit: int) -> Sequence[Claim]:
        """Take endpoints for which something is due and nobody else has."""
        rows = await self._fetch(_CLAIM, limit, self._lease, self._owner)
        return [Claim(row["endpoint_id"], row["lease"], row["touched"]) for row in rows]

    async def load(self, claim: Claim, limit: int) -> Work | None:
        """Return the endpoint with the front of its queue; None if it is gone."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            endpoint = await connection.fetchrow(_ENDPOINT, claim.endpoint_id)
            if endpoint is None:
                return None
            secrets = await connection.fetch(_SECRETS, claim.endpoint_id, signing.SECRETS_MAX)
            queued = await connection.fetch(_QUEUED, claim.endpoint_id, limit)
        return Work(
            endpoint["url"],
            endpoint["is_enabled"],
            endpoint["updated_at"],
            [(row["number"], Sealed(row["key_id"], row["sealed"])) for row in secrets],
            [_queued(row) for row in queued],
        )

    async def record(
        self,
        claim: Claim,
        queued: Queued,
        result: Result,
        verdict: Verdict,
        started_at: datetime.datetime,
    ) -> Failing:
        """Note an attempt and what becomes of its delivery; the lease begins anew."""
        rows = await self._fetch(
            _RECORD,
            claim.endpoint_id,
            claim.lease,
            self._lease,
            result.is_success,
            queued.delivery_id,
            verdict.state,
            verdict.cause,
            datetime.timedelta(seconds=verdict.delay_seconds),
            started_at,
            round(1_000 * result.seconds),
            result.status_code,
            result.cause,
        )
        if not rows:
            raise LeaseLost(claim.endpoint_id)
        [row] = rows
        return Failing(row["failing_since"], row["failures"], row["now"], row["updated_at"])

    async def give_up_old(self, claim: Claim) -> int:
        """Give up what has waited too long, and return how many; perhaps there are more."""
        return await self._execute(
            _GIVE_UP_OLD, claim.endpoint_id, claim.lease, OLD_ROWS_MAX, schedule.TOO_OLD
        )

    async def release(self, claim: Claim, seconds: float | None) -> None:
        """Give the endpoint back, to be looked at in so many s; None for when something is queued.

        If something was queued or changed since it was claimed it is due at once.
        """
        wait = None if seconds is None else datetime.timedelta(seconds=seconds)
        slept = await self._execute(_SLEEP, claim.endpoint_id, claim.lease, claim.touched, wait)
        if not slept:
            await self._execute(_GO_ON, claim.endpoint_id, claim.lease)

    async def go_on(self, claim: Claim) -> None:
        """Give the endpoint back with something due."""
        await self._execute(_GO_ON, claim.endpoint_id, claim.lease)

    async def disable(self, claim: Claim, cause: str) -> bool:
        """Disable the endpoint; say whether it was enabled."""
        return bool(await self._execute(_DISABLE, claim.endpoint_id, claim.lease, cause))

    async def _fetch(self, sql: str, *values: object) -> list[asyncpg.Record]:
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            return list(await connection.fetch(sql, *values))

    async def _execute(self, sql: str, *values: object) -> int:
        """Run a statement; return how many rows it changed."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            status = await connection.execute(sql, *values)
        return int(status.rpartition(" ")[2])


def _queued(row: asyncpg.Record) -> Queued:
    return Queued(
        row["delivery_id"],
        row["event_id"],
        row["event_type"],
        row["tries"],
        row["body"],
        row["wait_seconds"] or 0.0,
        row["left_seconds"],
    )
