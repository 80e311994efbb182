"""Outcomes of commands that were accepted by way of Kafka, in a database of their own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg

from kit.operations import Decided, Position, Row

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    _Connection: TypeAlias = PoolConnectionProxy[asyncpg.Record]
else:
    _Connection = Any

CONNECT_SECONDS_MAX: Final = 3.0
STATEMENT_SECONDS_MAX: Final = 10.0
ACQUIRE_SECONDS_MAX: Final = 3.0
CONNECTIONS_MAX: Final = 4
"""One that stores, one that looks up, and some for callers who ask."""
CLOSE_SECONDS_MAX: Final = 3.0

# What was carried out was not refused, whoever said so before.
_PUT: Final = """
INSERT INTO operations AS stored (
       operation_id, tenant_id, merchant_id, accepted_at, refused, outcome)
SELECT * FROM unnest(
       $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[], $6::bytea[])
ON CONFLICT (operation_id) DO UPDATE
   SET refused = FALSE, outcome = excluded.outcome, decided_at = now()
 WHERE stored.refused AND NOT excluded.refused
RETURNING operation_id
"""
_PUT_POSITIONS: Final = """
INSERT INTO positions (partition, next_offset, accepted_at)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::timestamptz[])
ON CONFLICT (partition) DO UPDATE
   SET next_offset = excluded.next_offset, accepted_at = excluded.accepted_at
"""
_FIND: Final = "SELECT operation_id, outcome FROM operations WHERE operation_id = ANY($1::text[])"
_GET: Final = "SELECT outcome, refused, decided_at FROM operations WHERE operation_id = $1"
_POSITION: Final = "SELECT next_offset, accepted_at FROM positions WHERE partition = $1"
_FORGET: Final = """
DELETE FROM operations
 WHERE operation_id IN (
    SELECT operation_id FROM operations
     WHERE operation_id < $1
     ORDER BY operation_id
     LIMIT $2
       FOR UPDATE SKIP LOCKED
 )
"""


class DatabaseAway(ConnectionError):
    """The database does not answer, or does not do it; the text shows no row."""


class OperationStore:
    """All methods raise DatabaseAway."""

    def __init__(self, dsn: str, name: str) -> None:
        """`name` is what the server shows of the connections, made when they are needed."""
        self._dsn = dsn
        self._name = name
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def put(
        self, rows: Sequence[Row], positions: Collection[Position]
    ) -> Mapping[str, bytes]:
        """Store outcomes once; return, by operation, those that were stored before."""
        if not rows and not positions:
            return {}
        async with self._connection() as connection, connection.transaction():
            known: Mapping[str, bytes] = {}
            if rows:
                known = await self._put(connection, rows)
            if positions:
                await connection.execute(
                    _PUT_POSITIONS,
                    [at.partition for at in positions],
                    [at.offset for at in positions],
                    [_time(at.accepted_ms) for at in positions],
                )
            return known

    async def _put(self, connection: _Connection, rows: Sequence[Row]) -> Mapping[str, bytes]:
        # In the order of ids, so that two members that have the same for a moment wait in turn.
        ordered = sorted(rows, key=lambda row: row.operation_id)
        stored = await connection.fetch(
            _PUT,
            [row.operation_id for row in ordered],
            [row.tenant_id for row in ordered],
            [row.merchant_id for row in ordered],
            [_time(row.accepted_ms) for row in ordered],
            [row.is_refused for row in ordered],
            [row.outcome for row in ordered],
        )
        if len(stored) == len(ordered):
            return {}
        new = {row["operation_id"] for row in stored}
        left = [row.operation_id for row in ordered if row.operation_id not in new]
        return {row["operation_id"]: row["outcome"] for row in await connection.fetch(_FIND, left)}

    async def find(self, operation_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return the stored outcomes of those operations that have one."""
        if not operation_ids:
            return {}
        async with self._connection() as connection:
            rows = await connection.fetch(_FIND, list(operation_ids))
        return {row["operation_id"]: row["outcome"] for row in rows}

    async def get(self, operation_id: str) -> Decided | None:
        """Return one."""
        async with self._connection() as connection:
            row = await connection.fetchrow(_GET, operation_id)
        if row is None:
            return None
        return Decided(row["outcome"], row["refused"], _ms(row["decided_at"]))

    async def position(self, partition: int) -> Position | None:
        """Return how far a partition is."""
        async with self._connection() as connection:
            row = await connection.fetchrow(_POSITION, partition)
        if row is None:
            return None
        return Position(partition, row["next_offset"], _ms(row["accepted_at"]))

    async def forget(self, before_id: str, limit: int) -> int:
        """Delete at most so many whose ids are lower; return how many."""
        async with self._connection() as connection:
            status = await connection.execute(_FORGET, before_id, limit)
        return int(status.rpartition(" ")[2])

    async def close(self) -> None:
        """Close the connections, in order if that is quick."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(CLOSE_SECONDS_MAX):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        try:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=CONNECTIONS_MAX,
                    timeout=CONNECT_SECONDS_MAX,
                    command_timeout=STATEMENT_SECONDS_MAX,
                    server_settings={"application_name": self._name},
                )
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
                yield connection
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            raise DatabaseAway(f"the database is away: {type(error).__name__}") from None
        except asyncpg.PostgresError as error:
            state = getattr(error, "sqlstate", "") or "XX000"
            raise DatabaseAway(f"the database does not do it: {state}") from None


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1_000)
