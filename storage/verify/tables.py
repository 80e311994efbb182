"""Reads the ledger's tables in one snapshot, through cursors, in chunks."""

import contextlib
from bisect import bisect_right
from collections.abc import AsyncIterator
from operator import itemgetter
from typing import Any, Final, TypeAlias

import asyncpg
from asyncpg.cursor import Cursor

from processor.domain.accounts import Account
from processor.domain.merchants import Merchant
from processor.domain.payments import Payment, Refund
from processor.domain.transfers import Transfer

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Row: TypeAlias = tuple[Any, ...]

ROWS_PER_CHUNK: Final = 2_000
"""Some megabytes of the widest table, and few enough round trips not to count."""

JOURNAL_ROWS_PER_CHUNK: Final = 20
"""A body of a full batch is half a megabyte or so."""

CONNECT_SECONDS_MAX: Final = 10

POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 in µs since 1970: what Postgres counts time from."""

SETTINGS: Final = {
    "application_name": "tender verify",
    "jit": "off",
    # Every row of every cursor is read, so the plan for all rows is the right one, not the plan
    # for the first few; and the sorts happen in memory while they can.
    "cursor_tuple_fraction": "1.0",
    "work_mem": "64MB",
}

# Ids of one lane sort as they were minted; the collation is spelled out because Python compares
# them too, by code point.
SELECT: Final = 'SELECT {columns} FROM {table} ORDER BY {first} COLLATE "C"'

ACCOUNT_COLUMNS: Final = Account._fields
PAYMENT_COLUMNS: Final = Payment._fields
MERCHANT_COLUMNS: Final = Merchant._fields
TRANSFER_COLUMNS: Final = (*Transfer._fields, "seq")
REFUND_COLUMNS: Final = (*Refund._fields, "seq")
"""A table's columns are its record's fields, in the same order, plus where it was journaled."""

SELECT_LANES: Final = "SELECT shard, epoch, incarnation FROM lanes ORDER BY shard"
SELECT_HEAD: Final = "SELECT coalesce(max(seq), 0) FROM journal"
SELECT_FIRST: Final = "SELECT coalesce(min(seq), 1) FROM journal"
HAS_ARCHIVE: Final = "SELECT to_regclass('journal_ranges') IS NOT NULL"
SELECT_JOURNAL: Final = """
SELECT seq, epoch, incarnation, body, previous_hash, hash, created_at
FROM journal
ORDER BY seq
"""
SELECT_REQUESTS: Final = """
SELECT seq, tenant_id, request_id, method, fingerprint, outcome, resource_id, created_at
FROM requests
ORDER BY seq
"""
SELECT_LEGS_SENT: Final = """
SELECT seq, destination, number, transfer_id, payment_id, body, created_at, state
FROM legs_sent
ORDER BY seq, destination, number
"""
SELECT_LEGS_RECEIVED: Final = """
SELECT seq, source, number, transfer_id, payment_id, remote_account_id, outcome, body, created_at
FROM legs_received
ORDER BY seq, source, number
"""
SELECT_LEGS_MOVED: Final = """
SELECT source, destination, number, payment_id, state, convert_from(body, 'UTF8'), created_at
FROM legs_moved
"""
SELECT_LEGS_ACKNOWLEDGED: Final = "SELECT destination, number FROM legs_acknowledged"
SELECT_REQUESTS_THAT_EXIST: Final = """
SELECT r.tenant_id, r.request_id
FROM requests AS r
JOIN unnest($1::text[], $2::text[]) AS k (tenant_id, request_id)
    ON r.tenant_id = k.tenant_id AND r.request_id = k.request_id
"""
SELECT_MARKS: Final = """
SELECT m.account_id, m.transfer_id,
       t.id IS NOT NULL AND m.account_id IN (t.debit_account_id, t.credit_account_id) AS fits
FROM account_marks AS m
LEFT JOIN transfers AS t ON t.id = m.transfer_id
"""


def select(table: str, columns: tuple[str, ...]) -> str:
    """Return the query for a table in the order of its id."""
    return SELECT.format(columns=", ".join(columns), table=table, first=columns[0])


@contextlib.asynccontextmanager
async def snapshot(dsn: str) -> AsyncIterator[Connection]:
    """Open a connection that sees one moment and writes nothing; times arrive as µs since 1970."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS_MAX, server_settings=SETTINGS)
    try:
        await connection.set_type_codec(
            "timestamptz",
            schema="pg_catalog",
            format="tuple",
            encoder=lambda time_us: (time_us - POSTGRES_EPOCH_US,),
            decoder=lambda counted: counted[0] + POSTGRES_EPOCH_US,
        )
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        # Nothing was written, so there is nothing to wait for when a caller gives up.
        connection.terminate()


async def chunks(
    connection: Connection, query: str, rows: int = ROWS_PER_CHUNK
) -> AsyncIterator[list[asyncpg.Record]]:
    """Read a query's rows in chunks."""
    cursor = await connection.cursor(query)
    while chunk := await cursor.fetch(rows):
        yield chunk


class Stream:
    """A query's rows in the order of its first column, read as far as is asked for."""

    def __init__(self, cursor: "Cursor[asyncpg.Record]") -> None:
        self._cursor = cursor
        self._chunk: list[asyncpg.Record] = []
        self._at = 0
        self._exhausted = False

    @classmethod
    async def open(cls, connection: Connection, query: str) -> "Stream":
        """Start reading."""
        return cls(await connection.cursor(query))

    async def until(self, last: str | int) -> list[asyncpg.Record]:
        """Return the rows not read yet whose first column is at most `last`."""
        found: list[asyncpg.Record] = []
        while True:
            end = bisect_right(self._chunk, last, lo=self._at, key=_first)
            found += self._chunk[self._at : end]
            self._at = end
            if end < len(self._chunk) or self._exhausted:
                return found
            await self._read()

    async def rest(self) -> AsyncIterator[list[asyncpg.Record]]:
        """Return, in chunks, the rows not read yet."""
        while True:
            if self._at < len(self._chunk):
                yield self._chunk[self._at :]
            if self._exhausted:
                self._at = len(self._chunk)
                return
            await self._read()

    async def _read(self) -> None:
        self._chunk, self._at = await self._cursor.fetch(ROWS_PER_CHUNK), 0
        self._exhausted = len(self._chunk) < ROWS_PER_CHUNK


_first = itemgetter(0)
