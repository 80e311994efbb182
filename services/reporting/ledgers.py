"""Reads ledgers of shards for rebuilds and for comparisons: as a role that may only read.

Whoever has standbys gives their URLs: all that is asked here is long, and none of it is of a lane.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, TypeAlias

import asyncpg

from processor.domain.ownership import FROZEN, NAMES, OWNED
from services.reporting import sql
from services.reporting.bodies import JournalRow
from services.reporting.rebuild import Head
from services.reporting.records import Place
from services.reporting.summary import Summary
from storage.postgres import rows as ledger_rows

CONNECT_SECONDS_MAX: Final = 10.0
STATEMENT_SECONDS_MAX: Final = 600.0
"""A sum over all payments of a large shard."""
ROWS_PER_READ: Final = 200
"""Of the journal; a body of a full batch is half a megabyte or so before it is unpacked."""

SETTINGS: Final = {"application_name": "tender report", "jit": "off"}

_HEAD: Final = """
SELECT seq, incarnation, created_at,
       CASE WHEN NOT pg_is_in_recovery() THEN clock_timestamp()
            ELSE greatest(created_at, pg_last_xact_replay_timestamp())
        END AS as_of
  FROM journal
 ORDER BY seq DESC
 LIMIT 1
"""
_ROWS: Final = """
SELECT incarnation, seq, body, created_at
  FROM journal
 WHERE seq > $1 AND seq <= $2
 ORDER BY seq
 LIMIT $3
"""
_OWNER: Final = "SELECT shard, region, version, ranges FROM lane_buckets"
_NEWEST: Final = "SELECT coalesce(max(seq), 0) FROM journal"

_IS_HERE: Final = """
(left(id, 4) = 'sys_' OR $1::text IS NULL OR split_part(id, '_', 2) <> $1
 OR right(id, 2) = ANY($2::text[]))
"""


def checksum(*columns: str) -> str:
    """Return the SQL of a number that no change of a value leaves as it is, summed over rows."""
    text = f"concat_ws('|', {', '.join(columns)})"
    return f"bit_xor(('x' || left(md5({text}), 16))::bit(64)::bigint)"


PAYMENT_SUMS: Final = f"""
SELECT tenant_id, merchant_id, currency, count(*), sum(captured)::text, sum(fee)::text,
       sum(refunded)::text, sum(fee_refunded)::text,
       {checksum("id", "state", "version", "amount", "captured", "refunded", "fee", "fee_refunded")}
"""
ACCOUNT_SUMS: Final = f"""
SELECT tenant_id, kind, currency, count(*), sum(posted)::text, sum(held)::text,
       {checksum("id", "posted", "held", "version")}
"""
GROUPED: Final = "GROUP BY 1, 2, 3"

Archived: TypeAlias = Callable[[int, int], AsyncIterator[Sequence[JournalRow]]]
"""Yields archived rows that follow a number, up to another, in parts; none if the first is not
archived."""


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """Open a connection that only reads."""
    connection = await asyncpg.connect(
        url,
        timeout=CONNECT_SECONDS_MAX,
        command_timeout=STATEMENT_SECONDS_MAX,
        server_settings=SETTINGS,
    )
    try:
        yield connection
    finally:
        connection.terminate()


class ShardJournal:
    """The journal of a shard: archived rows first, then those of the table."""

    def __init__(self, shard: str, url: str, archived: Archived | None = None) -> None:
        self.shard = shard
        self._url = url
        self._archived = archived

    async def head(self) -> Head | None:
        """Return the last row there is now; None for an empty journal."""
        async with connected(self._url) as connection:
            row = await connection.fetchrow(_HEAD)
        if row is None:
            return None
        at = sql.micros(row["created_at"])
        place = Place(self.shard, row["incarnation"], row["seq"], at)
        return Head(place, sql.micros(row["as_of"]) if row["as_of"] else at)

    async def rows(self, through: int) -> AsyncIterator[Sequence[JournalRow]]:
        """Yield all rows up to a number, in order. Raises LookupError if one is not there."""
        after = 0
        if self._archived is not None:
            async for part in self._archived(after, through):
                after = self._follow(after, part)
                yield part
        async with connected(self._url) as connection:
            while after < through:
                found = await connection.fetch(_ROWS, after, through, ROWS_PER_READ)
                part = [
                    JournalRow(self.shard, row[0], row[1], row[2], sql.micros(row[3]))
                    for row in found
                ]
                after = self._follow(after, part)
                yield part

    def _follow(self, after: int, part: Sequence[JournalRow]) -> int:
        for row in part:
            if row.seq != after + 1:
                break
            after = row.seq
        if not part or after != part[-1].seq:
            raise LookupError(
                f"shard {self.shard}: row {after + 1} of the journal is neither in the table nor"
                " in the archive"
            )
        return after


async def summary_of(shard: str, url: str) -> Summary:
    """Return the sums of a shard as of one moment, of what is the shard's own."""
    async with (
        connected(url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await connection.fetchrow(_OWNER)
        region, names = None, list[str]()
        if found is not None:
            owned = ledger_rows.buckets(found)
            if not owned.has_all:
                region = owned.region
                states = owned.places()
                names = [NAMES[n] for n, it in enumerate(states) if it[0] in (OWNED, FROZEN)]
        seq = await connection.fetchval(_NEWEST)
        payments = await connection.fetch(
            f"{PAYMENT_SUMS} FROM payments WHERE {_IS_HERE} {GROUPED}", region, names
        )
        accounts = await connection.fetch(
            f"{ACCOUNT_SUMS} FROM accounts WHERE {_IS_HERE} {GROUPED}", region, names
        )
    return Summary.of({shard: seq}, payments, accounts)
