"""Reads of one shard from Postgres, perhaps a replica: bounded in time and in connections."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from google.protobuf.message import Message

from kit.read_tokens import ReadToken
from processor.domain import refusals
from processor.domain.reads import ApiKey, AsOf
from processor.ports import Unavailable
from storage.postgres import hosts
from storage.postgres.snapshot import PostgresSnapshot, Standing

POOL_MAX: Final = 10
"""Connections: reads are short, and the lane needs the machine more."""

CONNECT_SECONDS_MAX: Final = 2.0
ACQUIRE_SECONDS_MAX: Final = 2.0
"""Wait for a free connection; a caller does better to come again than to wait longer."""

COMMAND_SECONDS_MAX: Final = 3.0
"""For the client, when the server does not answer at all."""

STATEMENT_MS_MAX: Final = 2_000
"""For the server; below the client's, so that it is the one to give up."""

SETTINGS: Final = {
    "application_name": "tender_query",
    "default_transaction_read_only": "on",
    "statement_timeout": str(STATEMENT_MS_MAX),
    # A reader that hangs must not hold back vacuum, nor recovery on a replica.
    "idle_in_transaction_session_timeout": "5000",
    "jit": "off",
    # One row by its key: planned once, and never for a table that was still small (R8).
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
}

# How common a merchant is decides between two indexes, so plans of lists see the real values.
BEGIN: Final = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL enable_seqscan = on
"""
_END: Final = "COMMIT"

Work = Callable[[PostgresSnapshot], Awaitable[Message]]

_AWAY: Final = (
    OSError,
    # What asyncpg raises for a statement that meets the server's last words on a connection.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # Shutdown, start-up, statement timeout.
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # A replica's conflict with recovery.
    asyncpg.IdleInTransactionSessionTimeoutError,
)


async def _connect(dsn: str, **options: Any) -> hosts.Connection:
    # Whichever takes writes is right for reads; waiting for a better one would cost each of them.
    seconds = options.pop("timeout")
    if len(hosts.each(dsn)) == 1:
        # Perhaps a standby, which is asked for as such.
        return await asyncpg.connect(dsn, timeout=seconds, **options)
    found = await hosts.find_primary(dsn, timeout_seconds=seconds, patience_seconds=0, **options)
    return found.connection


_CONNECT: Final[Any] = _connect
"""The library's stubs want every option spelled out."""


class PostgresQueries:
    """Opens snapshots; connects with the first read, so that a start needs no database."""

    def __init__(self, dsn: str, shard: str) -> None:
        self._shard = shard
        self._pool = asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=POOL_MAX,
            connect=_CONNECT,
            timeout=CONNECT_SECONDS_MAX,
            command_timeout=COMMAND_SECONDS_MAX,
            server_settings=SETTINGS,
            reset=_keep,
        )

    async def close(self) -> None:
        """Close all connections."""
        await (await self._made_pool()).close()

    @asynccontextmanager
    async def snapshot(self, *, alone: bool = False) -> AsyncIterator[PostgresSnapshot]:
        """Open a snapshot, so that all parts of an answer belong to one commit.

        `alone` is for an answer that one statement finds: it belongs to its newest commit or to one
        after that, and costs no transaction.
        """
        async with self._connection() as connection:
            try:
                if not alone:
                    await connection.execute(BEGIN)
                yield PostgresSnapshot(connection, self._shard)
            except refusals.Refused:
                if not alone:
                    await connection.execute(_END)
                raise
            except BaseException:
                # Perhaps in the middle of a statement of a server that hangs: a word of farewell
                # would wait for it.
                connection.terminate()
                raise
            if not alone:
                await connection.execute(_END)

    async def read(
        self, work: Work, after: ReadToken | None = None, *, alone: bool = False
    ) -> tuple[Message, AsOf]:
        """Return what work finds here, in the shard's one true history.

        Raises Unavailable, ReadTokenAhead, HistoryLost or what work raises.
        """
        async with self.snapshot(alone=alone) as snapshot:
            if after is not None:
                await _require(snapshot, after)
            seq = (await snapshot.newest()).seq
            return await work(snapshot), AsOf(seq, 0.0)

    async def has_taken_from(self, shard: str) -> bool:
        """Say whether a bucket came here from a shard. Raises Unavailable."""
        async with self.snapshot() as snapshot:
            return await snapshot.has_taken_from(shard)

    _API_KEY = """
        SELECT secret_hash, tenant_id, scopes, coalesce(merchant_id, '')
          FROM api_keys
         WHERE key_id = $1 AND revoked_at IS NULL
    """

    async def api_key(self, key_id: str) -> ApiKey | None:
        """Return an API key, None if it is unknown or revoked."""
        async with self._connection() as connection:
            row = await connection.fetchrow(self._API_KEY, key_id)
        return ApiKey(*row) if row else None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            pool = await self._made_pool()
            async with pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
                yield connection
        except _AWAY as error:
            raise Unavailable(repr(error)) from error
        except asyncpg.InterfaceError as error:
            if isinstance(error, ValueError):
                raise  # A value of ours that does not fit its column.
            raise Unavailable(repr(error)) from error

    async def _made_pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """Return the pool; the first call makes it, which connects to nothing yet."""
        await self._pool
        return self._pool


async def _require(snapshot: PostgresSnapshot, after: ReadToken) -> None:
    """Raise unless the primary's history has the commit, which it has shown to somebody."""
    standing = await snapshot.standing(after)
    if standing is Standing.BEYOND and await snapshot.is_current(after):
        raise refusals.ReadTokenAhead
    if standing is not Standing.REACHED:
        raise refusals.HistoryLost(seq=str(after.seq), as_of_seq=str((await snapshot.newest()).seq))


async def _keep(connection: Any) -> None:
    """Hand a connection back as it is: readers change nothing, and a reset costs a trip."""
