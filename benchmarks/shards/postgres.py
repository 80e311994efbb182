"""What the shards' databases say: heads, legs between them, statements."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import asyncpg

from deploy.local.folder import Endpoints

CONNECT_SECONDS_MAX: Final = 10.0
STATEMENT_SECONDS_MAX: Final = 600.0
REST_PAUSE_SECONDS: Final = 0.05

HEAD: Final = "SELECT coalesce(max(seq), 0) FROM journal"
SENT: Final = "SELECT destination, max(number) FROM legs_sent GROUP BY destination"
RECEIVED: Final = "SELECT source, max(number) FROM legs_received GROUP BY source"
CREDITED: Final = """
SELECT payment_id, created_at FROM legs_received
 WHERE source = $1 AND number > $2 AND number <= $3 AND payment_id <> ''
"""
DEBITED: Final = "SELECT id, created_at FROM payments WHERE id = ANY($1)"
SAMPLED_MAX: Final = 2_000

# What the database's owner asks is asked by those who measure.
STATEMENTS: Final = """
SELECT s.query, sum(s.calls)::bigint
  FROM pg_stat_statements AS s
  JOIN pg_database AS d ON d.oid = s.dbid AND d.datname = current_database()
  JOIN pg_roles AS r ON r.oid = s.userid AND r.rolname <> current_user
 WHERE s.toplevel
 GROUP BY s.query
"""


async def fetch(dsn: str, statement: str, *arguments: Any) -> list[Any]:
    """Return the rows of a statement."""
    connection = await asyncpg.connect(
        dsn, timeout=CONNECT_SECONDS_MAX, command_timeout=STATEMENT_SECONDS_MAX
    )
    try:
        rows: list[Any] = await connection.fetch(statement, *arguments)
    finally:
        await connection.close()
    return rows


async def head(dsn: str) -> int:
    """Return the number of the journal's newest row."""
    return int((await fetch(dsn, HEAD))[0][0])


async def legs(endpoints: Endpoints) -> tuple[dict[tuple[str, str], int], ...]:
    """Return how many legs were sent, and how many were taken, by source and destination.

    Taken ones are counted first: what was taken was sent before.
    """
    taken: dict[tuple[str, str], int] = {}
    sent: dict[tuple[str, str], int] = {}
    for shard in endpoints.shards:
        for source, number in await fetch(shard.owner_url, RECEIVED):
            taken[source, shard.name] = number
    for shard in endpoints.shards:
        for destination, number in await fetch(shard.owner_url, SENT):
            sent[shard.name, destination] = number
    return sent, taken


async def crossing_seconds(
    endpoints: Endpoints, taken: Mapping[tuple[str, str], int]
) -> list[float]:
    """Return of some payments how long after their debit the other shard has credited them.

    `taken` is the last leg of interest by source and destination. Both times are those of batches,
    by the clocks of their lanes.
    """
    databases = {shard.name: shard.owner_url for shard in endpoints.shards}
    found: list[float] = []
    for (source, destination), last in taken.items():
        credited = await fetch(databases[destination], CREDITED, source, last - SAMPLED_MAX, last)
        times = {row[0]: row[1] for row in credited}
        debited = await fetch(databases[source], DEBITED, list(times))
        found += [(times[row[0]] - row[1]).total_seconds() for row in debited]
    return found


async def rest(endpoints: Endpoints, seconds_max: float) -> None:
    """Wait until each shard has taken all that the others sent it. Raises TimeoutError."""
    deadline = time.monotonic() + seconds_max
    while True:
        sent, taken = await legs(endpoints)
        if sent == taken:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"money is still between shards: sent {sent}, taken {taken}")
        await asyncio.sleep(REST_PAUSE_SECONDS)


async def statements(dsn: str) -> dict[str, int]:
    """Return how often each statement of the servers has run so far."""
    return {row[0]: row[1] for row in await fetch(dsn, STATEMENTS)}
