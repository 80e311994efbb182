"""A projection in a test's own database, and what it has to be equal to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from processor.domain.payments import Payment
from services.reporting import bodies, handler, store, told
from services.reporting.bodies import JournalRow
from services.reporting.records import Records
from storage.memory import Database
from tender.v1 import event_pb2
from tests.events.told import messages_of, parsed, rows_of

TABLES = {
    "payments": "id",
    "refunds": "id",
    "transfers": "id",
    "accounts": "id",
    "merchants": "id",
    "day_states": "merchant_id, currency, day, state",
    "day_volumes": "merchant_id, currency, day",
    "positions": "shard, incarnation",
}
PORTION = 40

Content = dict[str, list[tuple[Any, ...]]]


@dataclass
class Projected:
    """A projection's database."""

    url: str
    connection: "asyncpg.Connection[asyncpg.Record]"

    async def take(self, events: Sequence[event_pb2.Event]) -> None:
        """Hand events to the handler, some at a time, as the chassis does."""
        for start in range(0, len(events), PORTION):
            async with self.connection.transaction():
                await handler.Projection().handle(events[start : start + PORTION], self.connection)

    async def take_rows(self, rows: Iterable[JournalRow]) -> None:
        """Write what rows of a journal say."""
        records = Records()
        for row in rows:
            bodies.collect(row, records)
        async with self.connection.transaction():
            await self.connection.execute(handler.ENTER)
            await store.write(self.connection, records)

    async def empty(self) -> None:
        """Forget all."""
        tables = ", ".join(f"report.{table}" for table in TABLES)
        await self.connection.execute(f"TRUNCATE {tables}")

    async def content(self, *, without: Sequence[str] = ()) -> Content:
        """Return all that is in it. Totals of nothing are as good as none."""
        found: Content = {}
        for table, order in TABLES.items():
            if table in without:
                continue
            rows = await self.connection.fetch(f"SELECT * FROM report.{table} ORDER BY {order}")
            kept = [tuple(row) for row in rows]
            if table == "day_states":
                kept = [row for row in kept if row[-2] != 0]
            if table == "day_volumes":
                kept = [row for row in kept if any(row[4:])]
            found[table] = kept
        return found

    async def sums(self) -> dict[tuple[str, str], tuple[int, ...]]:
        """Return captured, fees, refunded and fees given back by merchant and currency."""
        rows = await self.connection.fetch(
            "SELECT merchant_id, currency, sum(captured)::bigint, sum(fees)::bigint,"
            " sum(refunded)::bigint, sum(fees_refunded)::bigint FROM report.day_volumes"
            " GROUP BY 1, 2"
        )
        return {(row[0], row[1]): tuple(row[2:]) for row in rows if any(row[2:])}

    async def states(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """Return how many payments there are, and of how much, by merchant, currency, state."""
        rows = await self.connection.fetch(
            "SELECT merchant_id, currency, state, sum(payments)::bigint, sum(amount)::bigint"
            " FROM report.day_states GROUP BY 1, 2, 3"
        )
        return {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows if row[3]}


def events_of(ledgers: Mapping[str, Database]) -> list[event_pb2.Event]:
    """Return what the relays of some shards say, each in its order."""
    return [
        event
        for shard, ledger in sorted(ledgers.items())
        for event in parsed(messages_of(rows_of(ledger, shard)))
    ]


def journal_of(ledgers: Mapping[str, Database]) -> list[JournalRow]:
    """Return the journals of some shards."""
    return [
        JournalRow(*row)
        for shard, ledger in sorted(ledgers.items())
        for row in rows_of(ledger, shard)
    ]


def sums_of(ledgers: Mapping[str, Database]) -> dict[tuple[str, str], tuple[int, ...]]:
    """Return what `Projected.sums` has to be by the ledgers."""
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for payment in payments_of(ledgers):
        key = payment.merchant_id, payment.currency
        added = payment.captured, payment.fee, payment.refunded, payment.fee_refunded
        before = found.get(key, (0, 0, 0, 0))
        found[key] = tuple(one + other for one, other in zip(before, added, strict=True))
    return {key: it for key, it in found.items() if any(it)}


def states_of(ledgers: Mapping[str, Database]) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Return what `Projected.states` has to be by the ledgers."""
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for payment in payments_of(ledgers):
        key = payment.merchant_id, payment.currency, payment.state
        before = found.get(key, (0, 0))
        found[key] = (before[0] + 1, before[1] + payment.amount)
    return found


def payments_of(ledgers: Mapping[str, Database]) -> list[Payment]:
    """Return the payments of all shards."""
    return [payment for ledger in ledgers.values() for payment in ledger.payments.values()]


def collected(events: Iterable[event_pb2.Event]) -> Records:
    """Return what events say."""
    records = Records()
    for event in events:
        told.collect(event, records)
    return records
