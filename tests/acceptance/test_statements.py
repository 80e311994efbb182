"""What Postgres is asked to do: one statement per batch writes, and no other one does."""

import asyncio
import re
import time
from typing import NamedTuple

import asyncpg

import tender
from deploy.local.stack import Stack
from tests.acceptance.conftest import agree, connect, measured
from tests.acceptance.load import Recorder, Shop, open_shop
from tests.checker import History

PAYMENTS = 5_000
IN_FLIGHT = 256
CHANNELS = 4
PAYMENTS_PER_BATCH_MIN = 5
FLUSH_SECONDS = 0.2
APPLY = "apply_batch_v1"
WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE|COPY|TRUNCATE)\b", re.IGNORECASE)
LOCKS_ONLY = re.compile(r"\bFOR( NO KEY)? UPDATE\b", re.IGNORECASE)

STATEMENTS = """
SELECT s.query, s.calls, s.rows
  FROM pg_stat_statements AS s
  JOIN pg_database AS d ON d.oid = s.dbid AND d.datname = current_database()
 WHERE s.toplevel AND s.calls > 0
"""
JOURNAL_ROWS = "SELECT count(*) FROM journal"


class Seen(NamedTuple):
    """What the server ran during the burst, and how much the journal grew."""

    calls: dict[str, int]
    journal_rows: int
    errors: list[str]


async def burst(recorder: Recorder, shop: Shop) -> list[str]:
    """Pay 5,000 times, 256 at a time; return what went wrong."""
    errors: list[str] = []
    numbers = iter(range(PAYMENTS))

    async def pay_on() -> None:
        for number in numbers:
            try:
                answer = await recorder.once(shop.pay(number, 100 + number % 700))
            except tender.TenderError as error:
                errors.append(str(error))
            else:
                if answer.payment.state != tender.Payment.STATE_CAPTURED:
                    errors.append(str(answer.payment.state))

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(pay_on())
    return errors


async def watch_burst(endpoints_url: str, recorder: Recorder, shop: Shop) -> Seen:
    connection = await asyncpg.connect(endpoints_url)
    try:
        before = await connection.fetchval(JOURNAL_ROWS)
        await connection.execute("SELECT pg_stat_statements_reset()")
        started = time.perf_counter()
        errors = await burst(recorder, shop)
        rate = PAYMENTS / (time.perf_counter() - started)
        await asyncio.sleep(FLUSH_SECONDS)
        rows = await connection.fetch(STATEMENTS)
        after = await connection.fetchval(JOURNAL_ROWS)
    finally:
        await connection.close()
    measured(
        f"burst: {rate:,.0f} payments/s through the SDK with every call recorded,"
        f" {PAYMENTS / (after - before):.0f} payments per batch"
    )
    return Seen({row["query"]: row["calls"] for row in rows}, after - before, errors)


async def test_a_burst_of_payments_is_written_by_one_statement_per_batch_and_no_other(
    stack: Stack,
) -> None:
    history = History()
    async with connect(stack.endpoints, channels=CHANNELS) as client:
        recorder = Recorder(client, history)
        shop = await open_shop(recorder, customers=200)

        seen = await watch_burst(stack.endpoints.owner_url, recorder, shop)

    applies = sum(calls for query, calls in seen.calls.items() if APPLY in query)
    writes = [query for query in seen.calls if WRITES.search(LOCKS_ONLY.sub("", query))]
    assert seen.errors == []
    assert applies == seen.journal_rows
    assert applies <= PAYMENTS / PAYMENTS_PER_BATCH_MIN
    assert writes == []
    await agree(history, stack.endpoints)
