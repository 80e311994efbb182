"""The inbox of consumers in Postgres: an effect and the ids of its events, or neither.

One connection, made when it is needed: a consumer does one thing after the other. Whatever failed
on it ends it, so that the server undoes what was open, however the connection came to fail.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, TypeAlias

import asyncpg

from processor.consumers.ports import DependencyDown, Rejected, TryAgain
from storage.postgres import hosts

CONNECT_SECONDS_MAX: Final = 3.0
STATEMENT_SECONDS_MAX: Final = 10.0
CLOSE_SECONDS_MAX: Final = 1.0
RETENTION_DAYS: Final = 45
"""Longer than any topic is kept by time, so that nothing comes again whose id is forgotten. What
compacted topics keep for ever is told apart by its version."""

SETTINGS: Final = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "30000",
    # A statement whose caller is gone must not keep the ids that it noted locked.
    "client_connection_check_interval": "2000",
}

# In the order of ids, so that two members that have the same events for a moment wait for each
# other and not in a circle.
_NOTE: Final = """
INSERT INTO inbox (consumer, event_id)
SELECT $1, ids.event_id FROM unnest($2::text[]) AS ids (event_id) ORDER BY ids.event_id
ON CONFLICT (consumer, event_id) DO NOTHING
RETURNING event_id
"""
_FORGET: Final = """
DELETE FROM inbox
 WHERE (consumer, event_id) IN (
    SELECT consumer, event_id FROM inbox
     WHERE handled_at < now() - $2::interval AND consumer = $1
     ORDER BY handled_at
     LIMIT $3
       FOR UPDATE SKIP LOCKED
 )
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_LOST: Final = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# By class of SQLSTATE: connection, login, no such database, no such table or right, resources,
# operator, system, internal. No event is to blame for any of them.
_DOWN_CLASSES: Final = frozenset({"08", "28", "3D", "42", "53", "57", "58", "F0", "XX"})
# A standby, and sessions that were ended for doing nothing.
_DOWN_STATES: Final = frozenset({"25006", "25P03", "25P04"})
# Serialization failures and deadlocks, a lock that was not got, a statement that was cancelled.
_AGAIN_STATES: Final = frozenset({"40001", "40003", "40P01", "55P03", "57014"})


class PostgresInbox:
    """Implements `ports.Inbox` in a consumer's own database.

    The transaction that handlers get is the connection, within BEGIN and COMMIT: what they want to
    undo alone they put behind a SAVEPOINT, for asyncpg's own `transaction()` is not for that.
    """

    def __init__(
        self, dsn: str, name: str, *, retention: timedelta = timedelta(days=RETENTION_DAYS)
    ) -> None:
        """`name` is what the server shows of the connection."""
        self._dsn = dsn
        self._name = name
        self._retention = retention
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def batch(
        self, consumer: str, event_ids: Sequence[str]
    ) -> AsyncIterator[tuple[Connection, Set[str]]]:
        """Give a transaction, and the ids that are new in it; see `ports.Inbox.batch`."""
        async with self._connected() as connection:
            try:
                await connection.execute("BEGIN")
                rows = await connection.fetch(_NOTE, consumer, list(event_ids))
            except TimeoutError:
                raise DependencyDown("the database does not answer") from None
            yield connection, frozenset(row["event_id"] for row in rows)
            try:
                ended = await connection.execute("COMMIT")
            except TimeoutError:
                # Perhaps it is committed: then the ids are there the next time.
                raise DependencyDown("the database does not answer") from None
            if ended != "COMMIT":
                # A statement failed and the handler went on: the server says ROLLBACK, and no more.
                raise Rejected("a statement of the transaction had failed")

    async def forget(self, consumer: str, limit: int) -> int:
        """Delete ids past their retention; see `ports.Inbox.forget`."""
        async with self._connected() as connection:
            try:
                status = await connection.execute(_FORGET, consumer, self._retention, limit)
            except TimeoutError:
                raise TryAgain("the database took too long") from None
        return int(status.rpartition(" ")[2])

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=CLOSE_SECONDS_MAX)
            except (*_LOST, asyncpg.PostgresError):
                connection.terminate()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        """Give the connection, to one at a time; end it if anything fails, and say what that is."""
        async with self._turn:
            connection = await self._open()
            failed = True
            try:
                yield connection
                failed = False
            except asyncpg.PostgresError as error:
                raise translated(error) from error
            except _LOST as error:
                # A handler may open a file or misuse the driver: only what ended the connection is
                # the database's.
                if not connection.is_closed():
                    raise
                raise DependencyDown(f"the database is away: {type(error).__name__}") from error
            finally:
                if failed:
                    # Not rolled back by a statement: that too could wait for an answer.
                    connection.terminate()
                    self._connection = None

    async def _open(self) -> Connection:
        if self._connection is None:
            try:
                primary = await hosts.find_primary(
                    self._dsn,
                    timeout_seconds=CONNECT_SECONDS_MAX,
                    command_timeout=STATEMENT_SECONDS_MAX,
                    server_settings={"application_name": self._name, **SETTINGS},
                )
            except (*_LOST, asyncpg.PostgresError, ValueError) as error:
                # Not its text: what a server says may show a login.
                reason = f"the database cannot be reached: {type(error).__name__}"
                raise DependencyDown(reason) from None
            self._connection = primary.connection
        return self._connection


def translated(error: asyncpg.PostgresError) -> Exception:
    """Return what a server's refusal means for the events of a transaction.

    Its text tells the kind of error and the constraint, but never the row.
    """
    state = str(getattr(error, "sqlstate", "") or "XX000")
    said = f"{type(error).__name__} ({state})"
    if state in _AGAIN_STATES:
        return TryAgain(said)
    if state[:2] in _DOWN_CLASSES or state in _DOWN_STATES:
        return DependencyDown(f"the database does not do it: {said}")
    constraint = getattr(error, "constraint_name", None)
    return Rejected(f"{said}, constraint {constraint}" if constraint else said)
