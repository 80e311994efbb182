"""Endpoints and their secrets in Postgres, as callers see and change them."""

import contextlib
import datetime
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NamedTuple

import asyncpg

from services.database import ACQUIRE_SECONDS_MAX, Connection, Pool
from services.webhooks.sealing import Sealed

_COLUMNS: Final = """
endpoints.endpoint_id, merchant_id, url, event_types, description, state, disabled_cause,
       disabled_at, created_at, updated_at, last_success_at, failing_since, failures, pending
"""
_LOCK_OWNER: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_COUNT: Final = """
SELECT count(*) FROM endpoints WHERE tenant_id = $1 AND merchant_id = $2 AND state <> 'deleted'
"""
_REPEATED: Final = """
SELECT endpoint_id, state, merchant_id, url, event_types, description
  FROM endpoints WHERE tenant_id = $1 AND request_id = $2
"""
_ADD: Final = """
INSERT INTO endpoints
       (endpoint_id, tenant_id, merchant_id, request_id, url, event_types, description)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_ADD_QUEUE: Final = "INSERT INTO queues (endpoint_id) VALUES ($1)"
_ADD_SECRET: Final = """
INSERT INTO secrets (endpoint_id, number, request_id, key_id, sealed) VALUES ($1, $2, $3, $4, $5)
"""
# What a merchant's key asks for shows nothing of others: $2 is its merchant, or empty.
_GET: Final = f"""
SELECT {_COLUMNS}
  FROM endpoints
  JOIN queues ON queues.endpoint_id = endpoints.endpoint_id
 WHERE tenant_id = $1
   AND ($2 = '' OR merchant_id = $2)
   AND endpoints.endpoint_id = $3
   AND state <> 'deleted'
"""
_LIST: Final = f"""
SELECT {_COLUMNS}
  FROM endpoints
  JOIN queues ON queues.endpoint_id = endpoints.endpoint_id
 WHERE tenant_id = $1
   AND ($2 = '' OR merchant_id = $2)
   AND ($3 = '' OR merchant_id = $3)
   AND ($4 = '' OR state = $4)
   AND ($5 = '' OR endpoints.endpoint_id < $5)
   AND state <> 'deleted'
 ORDER BY endpoints.endpoint_id DESC
 LIMIT $6
"""
# A queue is locked before its endpoint and its deliveries, here as by workers.
_LOCK: Final = """
SELECT 1 FROM queues
  JOIN endpoints ON endpoints.endpoint_id = queues.endpoint_id
 WHERE tenant_id = $1
   AND ($2 = '' OR merchant_id = $2)
   AND queues.endpoint_id = $3
   AND state <> 'deleted'
   FOR UPDATE OF queues
"""
_CHANGE: Final = """
UPDATE endpoints
   SET url = $2, event_types = $3, description = $4, state = $5, disabled_cause = $6,
       disabled_at = CASE WHEN $5 = 'disabled' THEN coalesce(disabled_at, now()) END,
       updated_at = now()
 WHERE endpoint_id = $1
"""
_BEGIN_ANEW: Final = """
UPDATE queues SET due_at = now(), touched = touched + 1, failing_since = NULL, failures = 0
 WHERE endpoint_id = $1
"""
_WAIT_NO_MORE: Final = """
UPDATE deliveries SET next_at = NULL
 WHERE endpoint_id = $1 AND state = 'pending' AND next_at IS NOT NULL
"""
_DELETE: Final = """
UPDATE endpoints
   SET state = 'deleted', disabled_cause = '', disabled_at = NULL, updated_at = now()
 WHERE endpoint_id = $1
"""
_DELETE_SECRETS: Final = "DELETE FROM secrets WHERE endpoint_id = $1"
_SECRET: Final = """
SELECT number, key_id, sealed, created_at, now() AS now FROM secrets
 WHERE endpoint_id = $1 AND request_id = $2
"""
_NEXT_NUMBER: Final = "SELECT coalesce(max(number), 0) + 1 FROM secrets WHERE endpoint_id = $1"
_END_SECRETS: Final = """
UPDATE secrets SET expires_at = least(coalesce(expires_at, 'infinity'), now() + $3::interval)
 WHERE endpoint_id = $1 AND number < $2
"""
_OVERLAP: Final = """
SELECT max(expires_at) FROM secrets WHERE endpoint_id = $1 AND number < $2
"""
_NOTE_CHANGE: Final = "UPDATE endpoints SET updated_at = now() WHERE endpoint_id = $1"

FIRST_SECRET: Final = 1
_OF_CREATION: Final = ""
"""The request_id of the first secret, which came with the endpoint."""


class Owner(NamedTuple):
    """Who asks: a tenant, or one merchant of it."""

    tenant_id: str
    merchant_id: str


class New(NamedTuple):
    """An endpoint to be."""

    endpoint_id: str
    merchant_id: str
    url: str
    event_types: Sequence[str]
    description: str


class Change(NamedTuple):
    """What an endpoint is to be."""

    url: str
    event_types: Sequence[str]
    description: str
    state: str
    disabled_cause: str
    begins_anew: bool
    """What waits is tried at once, and earlier failures count no more."""


class Stored(NamedTuple):
    """A secret as it is stored."""

    number: int
    sealed: Sealed
    age: datetime.timedelta


class LimitReached(Exception):
    """The owner has as many endpoints as it may."""


class OtherRequest(Exception):
    """The request_id was used for another request; says which fields differ."""

    def __init__(self, fields: Sequence[str]) -> None:
        super().__init__(", ".join(fields))
        self.fields = fields


class EndpointStore:
    """Every method is one transaction. Raises what is said, and what asyncpg raises."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(
        self, owner: Owner, request_id: str, new: New, sealed: Sealed, count_max: int
    ) -> str:
        """Add an endpoint, or find the one of an earlier call; return its id.

        Raises LimitReached or OtherRequest.
        """
        async with self._transaction() as connection:
            # One at a time for a tenant: both the limit and repeats are looked at first.
            await connection.execute(_LOCK_OWNER, owner.tenant_id)
            before = await connection.fetchrow(_REPEATED, owner.tenant_id, request_id)
            if before is not None:
                return _repeated(before, new)
            count = await connection.fetchval(_COUNT, owner.tenant_id, new.merchant_id)
            if count >= count_max:
                raise LimitReached
            await connection.execute(
                _ADD,
                new.endpoint_id,
                owner.tenant_id,
                new.merchant_id,
                request_id,
                new.url,
                new.event_types,
                new.description,
            )
            await connection.execute(_ADD_QUEUE, new.endpoint_id)
            await connection.execute(
                _ADD_SECRET, new.endpoint_id, FIRST_SECRET, _OF_CREATION, *sealed
            )
        return new.endpoint_id

    async def get(self, owner: Owner, endpoint_id: str) -> asyncpg.Record | None:
        """Return an endpoint with the state of its queue."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            return await connection.fetchrow(_GET, *owner, endpoint_id)

    async def page(
        self, owner: Owner, merchant_id: str, state: str, before: str, limit: int
    ) -> Sequence[asyncpg.Record]:
        """Return endpoints with ids lower than `before`, newest first."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            return await connection.fetch(_LIST, *owner, merchant_id, state, before, limit)

    async def change(
        self, owner: Owner, endpoint_id: str, decide: Callable[[asyncpg.Record], Change]
    ) -> asyncpg.Record | None:
        """Change an endpoint to what `decide` makes of it; return it, or None if there is none."""
        async with self._transaction() as connection:
            if await connection.fetchval(_LOCK, *owner, endpoint_id) is None:
                return None
            row = await connection.fetchrow(_GET, *owner, endpoint_id)
            assert row is not None, "a locked endpoint stays"
            change = decide(row)
            await connection.execute(_CHANGE, endpoint_id, *change[:5])
            if change.begins_anew:
                await connection.execute(_BEGIN_ANEW, endpoint_id)
                await connection.execute(_WAIT_NO_MORE, endpoint_id)
            return await connection.fetchrow(_GET, *owner, endpoint_id)

    async def delete(self, owner: Owner, endpoint_id: str) -> bool:
        """Delete an endpoint and its secrets; say whether there was one. The rest goes later."""
        async with self._transaction() as connection:
            if await connection.fetchval(_LOCK, *owner, endpoint_id) is None:
                return False
            await connection.execute(_DELETE, endpoint_id)
            await connection.execute(_DELETE_SECRETS, endpoint_id)
        return True

    async def next_number(self, owner: Owner, endpoint_id: str) -> int | None:
        """Return the number that the next secret will have; None if there is no such endpoint."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            if await connection.fetchrow(_GET, *owner, endpoint_id) is None:
                return None
            number: int = await connection.fetchval(_NEXT_NUMBER, endpoint_id)
        return number

    async def rotate(
        self,
        owner: Owner,
        endpoint_id: str,
        request_id: str,
        number: int,
        sealed: Sealed,
        overlap: datetime.timedelta,
    ) -> bool:
        """Add a secret and let the earlier ones end; False if the number is taken or all is gone.

        It does nothing if the request_id has made a secret already.
        """
        async with self._transaction() as connection:
            if await connection.fetchval(_LOCK, *owner, endpoint_id) is None:
                return False
            if await connection.fetchrow(_SECRET, endpoint_id, request_id) is not None:
                return True
            if await connection.fetchval(_NEXT_NUMBER, endpoint_id) != number:
                return False
            await connection.execute(_ADD_SECRET, endpoint_id, number, request_id, *sealed)
            await connection.execute(_END_SECRETS, endpoint_id, number, overlap)
            await connection.execute(_NOTE_CHANGE, endpoint_id)
        return True

    async def secret(self, endpoint_id: str, request_id: str = _OF_CREATION) -> Stored | None:
        """Return the secret that a request made; the first one, if none is named."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            row = await connection.fetchrow(_SECRET, endpoint_id, request_id)
        if row is None:
            return None
        sealed = Sealed(row["key_id"], row["sealed"])
        return Stored(row["number"], sealed, row["now"] - row["created_at"])

    async def overlap_end(self, endpoint_id: str, number: int) -> datetime.datetime | None:
        """Return when the last of the secrets before a number ends; None if there is none."""
        async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
            found: datetime.datetime | None = await connection.fetchval(
                _OVERLAP, endpoint_id, number
            )
        return found

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with (
            self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection,
            connection.transaction(),
        ):
            yield connection


def _repeated(before: asyncpg.Record, new: New) -> str:
    """Return the id of the endpoint that an earlier call made. Raises OtherRequest."""
    fields = ("merchant_id", "url", "event_types", "description")
    wanted = {**new._asdict(), "event_types": list(new.event_types)}
    differing = [name for name in fields if before[name] != wanted[name]]
    if differing:
        raise OtherRequest(differing)
    endpoint_id: str = before["endpoint_id"]
    return endpoint_id
