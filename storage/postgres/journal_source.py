"""The journal of one shard as its relay uses it: one session, which holds the relay's lock."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import asyncpg

from processor.events.ports import Away, Busy, Fenced, Head, Row
from storage.postgres import rows as columns
from storage.postgres.connections import connect

STATEMENT_SECONDS_MAX: Final = 5.0
CLOSE_SECONDS_MAX: Final = 1.0
SILENT_SECONDS_MAX: Final = 5.0
"""An owner that has given no sign of life for so long is ended by whoever wants its place."""

NAME: Final = "events"
_LOCK_NAME: Final = "tender-relay-events"

_END_SILENT = """
SELECT pg_terminate_backend(a.pid, $4::bigint)
  FROM relays AS r
  JOIN pg_stat_activity AS a ON a.pid = r.backend_pid AND a.application_name = $2
 WHERE r.name = $1 AND r.seen_at < clock_timestamp() - make_interval(secs => $3)
"""
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_TAKE_OVER = """
INSERT INTO relays AS r (name, epoch, owner, backend_pid, position, seen_at)
VALUES ($1, 1, $2, pg_backend_pid(), 0, clock_timestamp())
ON CONFLICT (name) DO UPDATE
   SET epoch = r.epoch + 1, owner = excluded.owner, backend_pid = excluded.backend_pid,
       seen_at = excluded.seen_at
RETURNING epoch, position, (SELECT coalesce(max(seq), 0) FROM journal) AS head
"""
_ROWS = f"""
SELECT seq, incarnation, body, {columns.micros("created_at")}
  FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2
"""
_STORE = """
UPDATE relays SET position = $3, seen_at = clock_timestamp()
 WHERE name = $1 AND epoch = $2 AND position <= $3
"""
_BEHIND = """
SELECT coalesce((SELECT seq FROM journal ORDER BY seq DESC LIMIT 1), 0) - $1::bigint AS rows,
       coalesce((SELECT extract(epoch FROM clock_timestamp() - created_at)
                   FROM journal WHERE seq = $1 + 1), 0)::float8 AS seconds
"""
_IS_TOLD = """
SELECT coalesce((SELECT position FROM relays WHERE name = $1), 0) >= l.seq AS told
  FROM legs_sent AS l
 WHERE l.destination = $2 AND l.number = $3
"""


class JournalSource:
    """Reads the journal; whoever holds the lock of its session is the shard's relay."""

    def __init__(self, dsn: str, shard: str) -> None:
        self._dsn = dsn
        self._shard = shard
        self._application = f"tender-relay-{shard}"
        self._session: asyncpg.Connection[asyncpg.Record] | None = None
        # A session takes one statement at a time, and rows are read while others are published.
        self._turn = asyncio.Lock()
        self._epoch = 0

    async def open(self, owner: str) -> int:
        """Become the shard's relay; return the stored position. Raises Busy or Away."""
        try:
            return await self._open(owner)
        except BaseException:
            await self.close()
            raise

    async def _open(self, owner: str) -> int:
        with _away(self._shard):
            session = (await connect(self._dsn, self._application)).connection
            self._session = session
            async with asyncio.timeout(STATEMENT_SECONDS_MAX):
                await session.execute(
                    _END_SILENT,
                    *(NAME, self._application, SILENT_SECONDS_MAX, STATEMENT_SECONDS_MAX * 1_000),
                )
                if not await session.fetchval(_LOCK, _LOCK_NAME):
                    raise Busy("another relay has the shard")
                row = await session.fetchrow(_TAKE_OVER, NAME, owner)
        assert row is not None
        self._epoch = row["epoch"]
        position: int = row["position"]
        if position > row["head"]:
            # The journal was put back behind what was told (R12): its numbers are used again.
            raise Away(
                f"shard {self._shard} was told up to row {position} and has {row['head']}:"
                " its history was rolled back"
            )
        return position

    async def rows(self, after: int, limit: int) -> Sequence[Row]:
        """Return rows behind a position, in order. Raises Away."""
        with _away(self._shard):
            async with self._turn:
                found = await self._live.fetch(_ROWS, after, limit, timeout=STATEMENT_SECONDS_MAX)
        return [
            Row(self._shard, row["incarnation"], row["seq"], row["body"], row["created_at"])
            for row in found
        ]

    async def store(self, position: int) -> None:
        """Store a position, which also says that its owner lives. Raises Fenced or Away."""
        with _away(self._shard):
            async with self._turn:
                done = await self._live.execute(
                    _STORE, NAME, self._epoch, position, timeout=STATEMENT_SECONDS_MAX
                )
        if done != "UPDATE 1":
            raise Fenced("another relay has taken the shard over")

    async def behind(self, position: int) -> Head:
        """Return what is behind a position. Raises Away."""
        with _away(self._shard):
            async with self._turn:
                row = await self._live.fetchrow(_BEHIND, position, timeout=STATEMENT_SECONDS_MAX)
        assert row is not None
        return Head(row["rows"], row["seconds"])

    async def close(self) -> None:
        """Let go of the shard."""
        session, self._session = self._session, None
        if session is None:
            return
        try:
            await session.close(timeout=CLOSE_SECONDS_MAX)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            session.terminate()

    @property
    def _live(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._session is None:
            raise Away("not open")
        return self._session


class ReleasesThere:
    """Asks the shards that buckets came from how far their relays are."""

    def __init__(self, shard: str, dsns: dict[str, str]) -> None:
        """`dsns` by shard, as a role that may read `relays` and `legs_sent`."""
        self._shard = shard
        self._dsns = dsns

    async def is_told(self, source: str, number: int) -> bool:
        """Say whether a shard's relay is past its leg of a number. Raises Away."""
        dsn = self._dsns.get(source)
        if dsn is None:
            raise Away(
                f"buckets came from shard {source}, which is not among the shards of this relay"
            )
        with _away(source):
            session = (await connect(dsn, f"tender-relay-{self._shard}-asks")).connection
            try:
                told = await session.fetchval(
                    _IS_TOLD, NAME, self._shard, number, timeout=STATEMENT_SECONDS_MAX
                )
            finally:
                session.terminate()
        return bool(told)


@contextmanager
def _away(shard: str) -> Iterator[None]:
    """Say Away for whatever goes wrong with a connection; the text names no host and no value."""
    try:
        yield
    except (
        OSError,
        TimeoutError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    ) as error:
        raise Away(f"the journal of shard {shard}: {type(error).__name__}") from None
