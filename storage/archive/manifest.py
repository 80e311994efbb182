"""What a shard's database says of its archive, and the rows that are still in its table."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import asyncpg

from storage.archive.ports import ArchiveAway
from storage.archive.ranges import Range, Row
from storage.postgres import hosts
from storage.postgres import rows as columns

CONNECT_SECONDS_MAX: Final = 3.0
STATEMENT_SECONDS_MAX: Final = 10.0

_LOCK_NAME: Final = "tender-archive"
_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_SHARD: Final = "SELECT shard FROM lanes"
_RANGES: Final = """
SELECT first_seq, last_seq, incarnation, previous_hash, last_hash, name, bytes, sha256, last_at,
       archived_at
  FROM journal_ranges
 WHERE last_seq > $1
 ORDER BY first_seq
"""
_LAST: Final = """
SELECT first_seq, last_seq, incarnation, previous_hash, last_hash, name, bytes, sha256, last_at,
       archived_at
  FROM journal_ranges
 ORDER BY last_seq DESC
 LIMIT 1
"""
_HASH: Final = "SELECT hash FROM journal WHERE seq = $1"
_ROWS: Final = f"""
SELECT seq, epoch, incarnation, body, hash, {columns.micros("created_at")}, previous_hash
  FROM journal
 WHERE seq > $1 AND created_at < $2
 ORDER BY seq
 LIMIT $3
"""
_NOTE: Final = "SELECT note_journal_range_v1($1, $2, $3, $4, $5, $6, $7, $8)"
_HOLDERS: Final = "SELECT holder, through FROM journal_holders_v1() ORDER BY through, holder"
_DELETE: Final = "SELECT delete_archived_v1($1, $2, $3)"
_BOUNDS: Final = """
SELECT (SELECT min(seq) FROM journal) AS first_seq, (SELECT max(seq) FROM journal) AS last_seq,
       (SELECT min(created_at) FROM journal) AS first_at, clock_timestamp() AS now
"""
_COPIES: Final = "SELECT bucket, seq FROM bucket_copies WHERE source = $1"
_BUCKETS: Final = "SELECT shard, region, version, ranges FROM lane_buckets"


_DRIVER: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError)


class Held(NamedTuple):
    """Who needs rows, and through which one nobody of it does."""

    holder: str
    through: int


class Noted(NamedTuple):
    """A range as the database has it."""

    first_seq: int
    last_seq: int
    incarnation: str
    previous_hash: bytes
    last_hash: bytes
    name: str
    size: int
    sha256: bytes
    last_at: datetime
    archived_at: datetime


class Bounds(NamedTuple):
    """What the table has; None for an empty one."""

    first_seq: int | None
    last_seq: int | None
    first_at: datetime | None
    now: datetime


class Manifest:
    """One session on a shard's primary."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def take(self) -> bool:
        """Become the shard's archiver; False while another one is."""
        return bool(await self._connection.fetchval(_LOCK, _LOCK_NAME))

    async def shard(self) -> str:
        """Return the shard's name, empty before its lane was ever opened."""
        return await self._connection.fetchval(_SHARD) or ""

    async def ranges(self, after: int = 0) -> Sequence[Noted]:
        """Return the ranges that have rows which follow a number."""
        return [Noted(*row) for row in await self._connection.fetch(_RANGES, after)]

    async def last(self) -> Noted | None:
        """Return the newest range."""
        row = await self._connection.fetchrow(_LAST)
        return None if row is None else Noted(*row)

    async def hash_of(self, seq: int) -> bytes | None:
        """Return the hash of a row; None if it is not in the table."""
        found: bytes | None = await self._connection.fetchval(_HASH, seq)
        return found

    async def rows(
        self, after: int, older_than: datetime, limit: int
    ) -> tuple[bytes, Sequence[Row]]:
        """Return rows that follow a number, and the hash before the first."""
        found = await self._connection.fetch(_ROWS, after, older_than, limit)
        previous_hash: bytes = found[0]["previous_hash"] if found else b""
        return previous_hash, [Row(*tuple(row)[:6]) for row in found]

    async def note(self, one: Range, size: int, sha256: bytes) -> None:
        """Note a range that is kept; the database compares it with what it has."""
        await self._connection.execute(
            _NOTE,
            one.first_seq,
            one.last_seq,
            one.rows[0].incarnation,
            one.previous_hash,
            one.rows[-1].hash,
            one.name,
            size,
            sha256,
        )

    async def holders(self) -> Sequence[Held]:
        """Return who needs rows of this shard, those first that need the oldest."""
        return [Held(*row) for row in await self._connection.fetch(_HOLDERS)]

    async def delete(self, through: int, older_than: datetime, limit: int) -> int:
        """Delete the oldest rows, as far as nobody needs them; return how many that were."""
        found: int = await self._connection.fetchval(_DELETE, through, older_than, limit)
        return found

    async def bounds(self) -> Bounds:
        """Return what the table has."""
        return Bounds(*await self._connection.fetchrow(_BOUNDS))

    async def copies_of(self, source: str) -> Sequence[Held]:
        """Return what this shard still copies from another one's journal."""
        row = await self._connection.fetchrow(_BUCKETS)
        owned = columns.buckets(row) if row is not None else None
        return [
            Held(f"bucket {bucket} on its way", seq)
            for bucket, seq in await self._connection.fetch(_COPIES, source)
            if owned is not None and not owned.has(bucket)
        ]


@contextlib.asynccontextmanager
async def opened(dsn: str, name: str) -> AsyncIterator[Manifest]:
    """Open a session with a shard's primary. Raises ArchiveAway, within the block too."""
    with away():
        async with asyncio.timeout(CONNECT_SECONDS_MAX * 2):
            try:
                primary = await hosts.find_primary(
                    dsn,
                    timeout_seconds=CONNECT_SECONDS_MAX,
                    command_timeout=STATEMENT_SECONDS_MAX,
                    server_settings={"application_name": name},
                )
            except ValueError:
                # Not its text: it may show a login.
                raise ArchiveAway("the database: its URL is none") from None
    try:
        with away():
            yield Manifest(primary.connection)
    finally:
        primary.connection.terminate()


@contextlib.contextmanager
def away() -> Iterator[None]:
    """Say ArchiveAway for what goes wrong with a database; the text names no host and no value."""
    try:
        yield
    except asyncpg.PostgresError as error:
        said = f"{type(error).__name__}: {error.args[0]}" if _is_ours(error) else ""
        raise ArchiveAway(f"the database: {said or type(error).__name__}") from None
    except (OSError, TimeoutError, *_DRIVER) as error:
        raise ArchiveAway(f"the database: {type(error).__name__}") from None


def _is_ours(error: asyncpg.PostgresError) -> bool:
    return str(getattr(error, "sqlstate", "")).startswith("TN")


def ago(now: datetime, seconds: float) -> datetime:
    """Return the time so long ago."""
    return (now - timedelta(seconds=seconds)).astimezone(UTC)
