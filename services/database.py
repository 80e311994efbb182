"""A pool of connections to a service's own database."""

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg

from storage.postgres.inbox import CONNECT_SECONDS_MAX, SETTINGS, STATEMENT_SECONDS_MAX

ACQUIRE_SECONDS_MAX: Final = 5.0
"""For `pool.acquire(timeout=...)`: who waits longer is better told so."""
IDLE_SECONDS_MAX: Final = 60.0
CLOSE_SECONDS_MAX: Final = 3.0

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
else:
    Pool = asyncpg.Pool
    Connection = Any


async def open_pool(url: str, name: str, *, size: int = 4) -> Pool:
    """Return a pool that is open, whether or not the database answers just now.

    `name` is what the server shows of its connections.
    """
    pool: Pool = await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=CONNECT_SECONDS_MAX,
        command_timeout=STATEMENT_SECONDS_MAX,
        max_inactive_connection_lifetime=IDLE_SECONDS_MAX,
        server_settings={"application_name": name, **SETTINGS},
    )
    return pool


async def close_pool(pool: Pool) -> None:
    """Close a pool, in order if that is quick."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            await pool.close()
    except TimeoutError:
        pool.terminate()
