"""The shard map as the directory's database has it: read, watched, and written a first time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import structlog

from kit.shard_map import BadShardMap, BucketRange, ShardMap

POLL_SECONDS: Final = 1.0
"""Between two looks for a newer map; a stale one costs a call one detour, never money."""

CONNECT_SECONDS_MAX: Final = 2.0
STATEMENT_SECONDS_MAX: Final = 2.0
CLOSE_SECONDS_MAX: Final = 1.0

# One statement, so that version and ranges belong together.
_READ = """
SELECT v.version, r.region, r.first_bucket, r.last_bucket, r.shard
  FROM shard_map_version AS v
  LEFT JOIN shard_map_ranges AS r ON TRUE
"""
# Writers take turns; readers are not held up.
_LOCK = "LOCK TABLE shard_map_version IN SHARE ROW EXCLUSIVE MODE"
_WRITE_VERSION = "INSERT INTO shard_map_version (version) VALUES ($1)"
_WRITE_RANGE = """
INSERT INTO shard_map_ranges (region, first_bucket, last_bucket, shard)
VALUES ($1, $2, $3, $4)
"""
_DELETE_RANGES = "DELETE FROM shard_map_ranges"
_RAISE_VERSION = "UPDATE shard_map_version SET version = $1"

_LOST = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresError,
)

log = structlog.get_logger()


class DirectoryAway(Exception):
    """The directory's database does not answer, or has no shard map's tables."""


class MapExists(Exception):
    """The directory has another map already."""


class ShardMapStore:
    """The map in one database, over one connection that is made when it is needed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def read(self) -> ShardMap | None:
        """Return the map, None before the first. Raises DirectoryAway or BadShardMap."""
        async with self._connected() as connection:
            return await _read(connection)

    async def write_first(self, first: ShardMap) -> None:
        """Write the map unless it is there already. Raises MapExists or DirectoryAway."""
        async with self._connected() as connection, connection.transaction():
            await connection.execute(_LOCK)
            existing = await _read(connection)
            if existing is None:
                await connection.execute(_WRITE_VERSION, first.version)
                await connection.executemany(_WRITE_RANGE, first.ranges)
            elif existing != first:
                raise MapExists(f"the directory has a map already, version {existing.version}")

    async def write_next(self, newer: ShardMap) -> None:
        """Put the next version in the place of the present one.

        Raises MapExists, when another one came meanwhile, or DirectoryAway.
        """
        async with self._connected() as connection, connection.transaction():
            await connection.execute(_LOCK)
            existing = await _read(connection)
            if existing is None or newer.version != existing.version + 1:
                version = existing.version if existing else 0
                raise MapExists(f"version {newer.version} does not follow version {version}")
            await connection.execute(_DELETE_RANGES)
            await connection.executemany(_WRITE_RANGE, newer.ranges)
            await connection.execute(_RAISE_VERSION, newer.version)

    async def watch(self, tell: Callable[[ShardMap], None]) -> None:
        """Tell the map and every newer one, until cancelled.

        While the directory is away what was told last stays as it is; a version that goes back
        (a restored directory) is not told, because gateways would not take it either.
        """
        known, trouble = 0, ""
        while True:
            problem = ""
            try:
                found = await self.read()
            except DirectoryAway as error:
                problem = str(error)
            except BadShardMap as error:
                problem = f"a map that is not whole: {error}"
            else:
                if found is not None and found.version > known:
                    known = found.version
                    tell(found)
                elif found is not None and found.version < known:
                    problem = f"version {found.version} after version {known}"
            if problem != trouble:
                trouble = problem
                _note(problem, known)
            await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=CLOSE_SECONDS_MAX)
            except _LOST:
                connection.terminate()

    @asynccontextmanager
    async def _connected(self) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
        """Give the connection; one that failed in any way is not used again."""
        try:
            if self._connection is None:
                self._connection = await asyncpg.connect(
                    self._dsn,
                    timeout=CONNECT_SECONDS_MAX,
                    command_timeout=STATEMENT_SECONDS_MAX,
                    server_settings={"application_name": "tender_directory"},
                )
            yield self._connection
        except _LOST as error:
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None
            # Not chained: what a server says may show a login.
            raise DirectoryAway(type(error).__name__) from None


async def _read(connection: "asyncpg.Connection[asyncpg.Record]") -> ShardMap | None:
    rows = await connection.fetch(_READ)
    if not rows:
        return None
    ranges = tuple(BucketRange(*row[1:]) for row in rows if row["region"] is not None)
    return ShardMap(rows[0]["version"], ranges)


def _note(problem: str, known: int) -> None:
    if problem:
        log.warning("shard_map_not_read", reason=problem, known_version=known)
    else:
        log.info("shard_map_read_again", known_version=known)
