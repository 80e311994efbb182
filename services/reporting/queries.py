"""Reads what is asked for from the projection: one snapshot for the rows and how far they are."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from services.calls import Refused
from services.database import ACQUIRE_SECONDS_MAX, Pool
from services.reporting.questions import (
    After,
    Before,
    DaysWanted,
    PaymentsWanted,
    StatementWanted,
)

READ_SECONDS_MAX: Final = 5
"""Longer than any page takes that an index leads to; a search through all of a large merchant's
payments may take more, and is told to narrow down."""

DAY_ROWS_MAX: Final = 20_000
"""States of days: some currencies for a year."""

_MERCHANT: Final = "SELECT 1 FROM report.merchants WHERE id = $1 AND tenant_id = $2"
_ACCOUNT: Final = """
SELECT a.currency, a.posted, a.shard
  FROM report.accounts AS a
 WHERE a.id = $1 AND a.tenant_id = $2
   AND ($3 = '' OR EXISTS (SELECT FROM report.merchants AS m
                            WHERE m.id = $3 AND m.tenant_id = $2 AND a.id = ANY(m.account_ids)))
"""
_STATES: Final = """
SELECT currency, day, state, payments, amount
  FROM report.day_states
 WHERE merchant_id = $1 AND tenant_id = $2 AND day BETWEEN $3 AND $4
   AND ($5 = '' OR currency = $5) AND payments <> 0
 ORDER BY currency, day, state
 LIMIT $6
"""
_VOLUMES: Final = """
SELECT currency, day, captured, fees, refunds, refunded, fees_refunded
  FROM report.day_volumes
 WHERE merchant_id = $1 AND tenant_id = $2 AND day BETWEEN $3 AND $4
   AND ($5 = '' OR currency = $5)
 ORDER BY currency, day
 LIMIT $6
"""
# Walks payments_merchant_idx backwards, or is led by the payer's or the metadata's index.
_PAYMENTS: Final = """
SELECT id, merchant_id, payer_account_id, state, decline_reason, capture_method, currency, amount,
       captured, refunded, refund_pending, fee, fee_refunded, description, metadata, version,
       created_at, updated_at
  FROM report.payments
 WHERE merchant_id = $1 AND tenant_id = $2 AND created_at >= $3 AND created_at < $4
   AND (created_at, id) < ($5, $6)
   {filters}
 ORDER BY created_at DESC, id DESC
 LIMIT $7
"""
_LINE: Final = """
id, told_at, amount, currency, reason, payment_id, refund_id, description, remote_account_id,
source_account_id, destination_account_id, source_posted_after, destination_posted_after, shard,
incarnation, seq, place
"""
# Walks transfers_source_idx and transfers_destination_idx.
_STATEMENT: Final = f"""
SELECT *
  FROM ((SELECT {_LINE}
           FROM report.transfers
          WHERE source_account_id = $1 AND told_at >= $2 AND told_at < $3
            AND (told_at, seq, place) > ($4, $5, $6)
          ORDER BY told_at, seq, place
          LIMIT $7)
        UNION ALL
        (SELECT {_LINE}
           FROM report.transfers
          WHERE destination_account_id = $1 AND told_at >= $2 AND told_at < $3
            AND (told_at, seq, place) > ($4, $5, $6)
          ORDER BY told_at, seq, place
          LIMIT $7)) AS both_sides
 ORDER BY told_at, seq, place
 LIMIT $7
"""
# Histories of a shard follow each other: one that begins at or before the end of another lost it.
_POSITIONS: Final = """
SELECT DISTINCT ON (p.shard) p.shard, p.incarnation, p.seq, p.told_at,
       EXISTS (SELECT
                 FROM report.positions AS a
                 JOIN report.positions AS b ON b.shard = a.shard AND b.first_at > a.first_at
                WHERE a.shard = p.shard AND a.seq >= b.first_seq) AS history_lost
  FROM report.positions AS p
 ORDER BY p.shard, p.first_at DESC
"""
_LOST: Final = """
SELECT count(DISTINCT a.shard)
  FROM report.positions AS a
  JOIN report.positions AS b ON b.shard = a.shard AND b.first_at > a.first_at
 WHERE a.seq >= b.first_seq
"""
_BUILT: Final = "SELECT max(built_at) FROM report.builds"


class Position(NamedTuple):
    """How far the events of a shard are read."""

    shard: str
    incarnation: str
    seq: int
    told_at: datetime
    history_lost: bool


class Snapshot:
    """The projection at one moment."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def require_merchant(self, tenant_id: str, merchant_id: str) -> None:
        """Raise Refused for a merchant that is none of the tenant's."""
        if await self._connection.fetchval(_MERCHANT, merchant_id, tenant_id) is None:
            raise Refused("MERCHANT_UNKNOWN")

    async def days(
        self, wanted: DaysWanted
    ) -> tuple[Sequence[asyncpg.Record], Sequence[asyncpg.Record]]:
        """Return states and volumes of a merchant's days."""
        await self.require_merchant(wanted.tenant_id, wanted.merchant_id)
        values = (
            wanted.merchant_id,
            wanted.tenant_id,
            wanted.first,
            wanted.last,
            wanted.currency,
            DAY_ROWS_MAX + 1,
        )
        states = await self._connection.fetch(_STATES, *values)
        volumes = await self._connection.fetch(_VOLUMES, *values)
        if max(len(states), len(volumes)) > DAY_ROWS_MAX:
            raise Refused("SEARCH_TOO_WIDE")
        return states, volumes

    async def payments(
        self, wanted: PaymentsWanted, before: Before, limit: int
    ) -> Sequence[asyncpg.Record]:
        """Return a page of payments, newest first."""
        await self.require_merchant(wanted.tenant_id, wanted.merchant_id)
        filters, values = _filters(wanted, first=8)
        found: list[asyncpg.Record] = await self._connection.fetch(
            _PAYMENTS.format(filters=filters),
            *(wanted.merchant_id, wanted.tenant_id, wanted.from_time, wanted.to_time),
            *(before.created_at, before.id, limit),
            *values,
        )
        return found

    async def account(self, wanted: StatementWanted) -> asyncpg.Record:
        """Return currency and balance. Raises Refused for an account that is not to be seen."""
        found: asyncpg.Record | None = await self._connection.fetchrow(
            _ACCOUNT, wanted.account_id, wanted.tenant_id, wanted.merchant_id
        )
        if found is None:
            raise Refused("ACCOUNT_UNKNOWN")
        return found

    async def lines(
        self, wanted: StatementWanted, after: After, limit: int
    ) -> Sequence[asyncpg.Record]:
        """Return a page of an account's movements, oldest first."""
        found: list[asyncpg.Record] = await self._connection.fetch(
            _STATEMENT, wanted.account_id, wanted.from_time, wanted.to_time, *after, limit
        )
        return found

    async def positions(self) -> Sequence[Position]:
        """Return how far the events of each shard are read."""
        return [Position(*row) for row in await self._connection.fetch(_POSITIONS)]

    async def histories_lost(self) -> int:
        """Return of how many shards commits are shown that a failover took back."""
        found: int = await self._connection.fetchval(_LOST)
        return found

    async def built_at(self) -> datetime | None:
        """Return when the projection was made anew."""
        found: datetime | None = await self._connection.fetchval(_BUILT)
        return found


def _filters(wanted: PaymentsWanted, first: int) -> tuple[str, list[Any]]:
    """Return the conditions of filters that are set, and their arguments from a number on."""
    chosen: list[tuple[str, Any]] = []
    if wanted.states:
        chosen.append(("state = ANY(${n}::text[])", list(wanted.states)))
    if wanted.currency:
        chosen.append(("currency = ${n}", wanted.currency))
    if wanted.units_min:
        chosen.append(("amount >= ${n}", wanted.units_min))
    if wanted.units_max:
        chosen.append(("amount <= ${n}", wanted.units_max))
    if wanted.payer_account_id:
        chosen.append(("payer_account_id = ${n}", wanted.payer_account_id))
    for key, value in wanted.metadata:
        pair = "metadata <> '{{}}' AND metadata @> jsonb_build_object(${n}::text, ${m}::text)"
        chosen.append((pair, (key, value)))
    texts: list[str] = []
    values: list[Any] = []
    for text, value in chosen:
        n = first + len(values)
        texts.append(f"AND {text.format(n=n, m=n + 1)}")
        values.extend(value if isinstance(value, tuple) else (value,))
    return " ".join(texts), values


@contextlib.asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Snapshot]:
    """Open a snapshot. What takes too long is refused: SEARCH_TOO_WIDE, or SERVICE_UNAVAILABLE."""
    try:
        async with (
            pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(f"SET LOCAL statement_timeout = '{READ_SECONDS_MAX}s'")
            yield Snapshot(connection)
    except asyncpg.QueryCanceledError:
        raise Refused("SEARCH_TOO_WIDE") from None
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError):
        raise Refused("SERVICE_UNAVAILABLE", metadata={"service": "reporting"}) from None
