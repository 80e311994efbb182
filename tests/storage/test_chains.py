"""Lists that rows chain up, as a lane writes them: whole, bounded, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncpg
import pytest

from processor import pages
from processor.domain.reads import Page
from storage.postgres.chains import BALANCE_STEPS_MAX, SCAN_MAX
from storage.postgres.lane_store import PostgresLaneStore
from storage.postgres.queries import PostgresQueries
from tender.v1 import account_pb2, payment_pb2
from tests.conftest import Shard
from tests.lane.conftest import running
from tests.lane.harness import Caller, authorize, euros, unique
from tests.storage.office import Office

PAYMENTS = 400
APART_MAX = 2 * (64 + 300)
"""Transfers between two marks: 64 versions and a batch, with a capture and a fee in each."""

OF_ACCOUNT = """
SELECT id, created_at, CASE WHEN debit_account_id = $1 THEN -amount ELSE amount END AS amount
FROM transfers WHERE $1 IN (debit_account_id, credit_account_id) ORDER BY id DESC
"""
OF_PAYER = "SELECT id FROM payments WHERE payer_account_id = $1 ORDER BY id DESC"
OF_BOTH = f"{OF_PAYER.split('ORDER')[0]} AND merchant_id = $2 ORDER BY id DESC"
APART = """
SELECT max(place - before) FROM (
    SELECT place, lag(place, 1, 0::bigint) OVER (ORDER BY place) AS before FROM (
        SELECT id, row_number() OVER (ORDER BY id) AS place,
               lead(id) OVER (ORDER BY id) IS NULL AS is_last
        FROM transfers WHERE $1 IN (debit_account_id, credit_account_id)
    ) AS numbered
    WHERE is_last OR id IN (SELECT transfer_id FROM account_marks WHERE account_id = $1)
) AS marked
"""


class Street(NamedTuple):
    """Who pays whom, and a view of what came of it."""

    payers: list[str]
    merchants: list[str]
    database: "asyncpg.Connection[asyncpg.Record]"
    queries: PostgresQueries


@pytest.fixture
async def street(shard: Shard) -> AsyncIterator[Street]:
    """Two payers and two merchants after all kinds of payments and transfers, many in a batch."""
    async with running(PostgresLaneStore(shard.lane_url, "s1")) as lane:
        caller = Caller(lane)
        payers = [await caller.account(name, 100_000) for name in ("alice", "bob")]
        merchants = [await caller.merchant(name, basis_points=100, fixed=1) for name in ("a", "b")]
        await asyncio.gather(*(pay(caller, payers, merchants, one) for one in range(PAYMENTS)))
    database = await asyncpg.connect(shard.owner_url)
    queries = PostgresQueries(shard.reader_url, "s1")
    yield Street(payers, merchants, database, queries)
    await queries.close()
    await database.close()


async def pay(caller: Caller, payers: list[str], merchants: list[str], number: int) -> None:
    payer, merchant = payers[number % 3 > 0], merchants[number % 5 > 0]
    manual = payment_pb2.CAPTURE_METHOD_MANUAL if number % 7 == 0 else None
    amount = 1_000_000 if number % 11 == 0 else 50
    paid = await caller.ask(authorize(payer, merchant, amount, capture_method=manual))
    if number % 13 == 0 and paid.payment.captured.minor_units:
        await caller.ask(
            payment_pb2.RefundPaymentRequest(request_id=unique(), payment_id=paid.payment.id)
        )
    if number % 17 == 0:
        await caller.ask(
            account_pb2.CreateTransferRequest(
                request_id=unique(),
                source_account_id=payers[0],
                destination_account_id=payers[1],
                amount=euros(3),
            )
        )


async def everybody(street: Street) -> list[str]:
    return [row["id"] for row in await street.database.fetch("SELECT id FROM accounts")]


async def walk(page_of: Any, limit: int) -> list[str]:
    """Return the ids of every page."""
    found: list[str] = []
    before = pages.FIRST
    while before:
        page = await page_of(before, limit)
        found += [row.id for row in page.rows]
        before = page.next_before
    return found


async def test_walks_find_what_searches_find(street: Street) -> None:
    async with street.queries.snapshot() as view:
        for account_id in await everybody(street):
            transfers = await street.database.fetch(OF_ACCOUNT, account_id)
            payments = await street.database.fetch(OF_PAYER, account_id)
            for limit in (1, 7, 200):
                assert [row["id"] for row in transfers] == await walk(
                    lambda before, limit, one=account_id: view.list_transfers(one, before, limit),
                    limit,
                )
                assert [row["id"] for row in payments] == await walk(
                    lambda before, limit, one=account_id: view.list_payments(
                        "dev", "", one, before, limit
                    ),
                    limit,
                )


async def test_a_walk_finds_a_payer_s_payments_to_one_merchant(street: Street) -> None:
    async with street.queries.snapshot() as view:
        for payer in street.payers:
            for merchant in street.merchants:
                expected = await street.database.fetch(OF_BOTH, payer, merchant)
                for limit in (1, 9, 200):
                    assert [row["id"] for row in expected] == await walk(
                        lambda before, limit, one=merchant, by=payer: view.list_payments(
                            "dev", one, by, before, limit
                        ),
                        limit,
                    )


async def test_a_page_below_somebody_else_s_row_is_empty(street: Street) -> None:
    first, second = street.payers
    async with street.queries.snapshot() as view:
        transfers = await view.list_transfers(first, pages.FIRST, 200)
        foreign = next(row for row in transfers.rows if second not in row[1:3])
        payment = (await view.list_payments("dev", "", first, pages.FIRST, 1)).rows[0]

        found: list[Page[Any]] = [
            await view.list_transfers(second, foreign.id, 10),
            await view.list_payments("dev", "", second, payment.id, 10),
            await view.list_payments("dev", street.merchants[0], second, payment.id, 10),
        ]

    assert [(len(page.rows), page.next_before) for page in found] == [(0, "")] * 3


async def test_past_balances_are_folds_of_the_transfers(street: Street) -> None:
    async with street.queries.snapshot() as view:
        for account_id in await everybody(street):
            transfers = await street.database.fetch(OF_ACCOUNT, account_id)
            moments = {round(row["created_at"].timestamp() * 1_000_000) for row in transfers}
            for time_us in sorted(moment + by for moment in moments for by in (-1, 0)):
                folded = sum(
                    row["amount"]
                    for row in transfers
                    if round(row["created_at"].timestamp() * 1_000_000) <= time_us
                )
                assert await view.balance_at(account_id, time_us) == folded


async def test_marks_keep_the_walks_to_past_balances_short(street: Street) -> None:
    apart = {
        account_id: await street.database.fetchval(APART, account_id) or 0
        for account_id in await everybody(street)
    }
    marks = await street.database.fetchval("SELECT count(*) FROM account_marks")

    assert marks >= 4
    assert max(apart.values()) <= APART_MAX < BALANCE_STEPS_MAX


FILL_ONE_PAYER = """
    INSERT INTO payments
    SELECT 'pay_eu_1' || lpad(n::text, 12, '0'), tenant_id, merchant_id || 'x', payer_account_id,
           settlement_account_id, state, capture_method, decline_reason, currency, amount,
           captured, capturable, refunded, refund_pending, fee, fee_refunded, fee_basis_points,
           fee_fixed, fee_refund_policy, hold_expires_at, description, metadata, version,
           created_at, updated_at,
           CASE WHEN n > 1 THEN 'pay_eu_1' || lpad((n - 1)::text, 12, '0') ELSE id END
      FROM payments, generate_series(1, $1::int) AS n
"""
FILL_TRANSFERS = """
    INSERT INTO transfers
    SELECT 'trf_eu_1' || lpad(n::text, 12, '0'), debit_account_id, credit_account_id, amount,
           currency, reason, payment_id, refund_id, description, 0, 0, seq,
           created_at + interval '1 hour',
           CASE WHEN n > 1 THEN 'trf_eu_1' || lpad((n - 1)::text, 12, '0') ELSE id END,
           CASE WHEN n > 1 THEN 'trf_eu_1' || lpad((n - 1)::text, 12, '0') ELSE id END
      FROM transfers, generate_series(1, $1::int) AS n
"""


async def test_a_bounded_walk_goes_on_with_the_next_page(office: Office) -> None:
    shop = office.shop
    payment = shop.authorize(1)
    await office.save()
    await office.execute(FILL_ONE_PAYER, SCAN_MAX + 1)
    await office.execute("UPDATE accounts SET last_payment_id = (SELECT max(id) FROM payments)")
    asked = payment_pb2.ListPaymentsRequest(
        merchant_id=shop.merchant_id, payer_account_id=shop.payer_id
    )

    first = await office.payments(asked)
    found = await office.all_payments(asked)

    assert (len(first.payments), bool(first.next_page_token)) == (0, True)
    assert found == [payment.id]


@pytest.mark.parametrize("missing", [False, True])
async def test_a_walk_to_a_past_balance_is_bounded(office: Office, missing: bool) -> None:
    shop = office.shop
    [before] = shop.ledger.transfers
    await office.save()
    await office.execute(FILL_TRANSFERS, BALANCE_STEPS_MAX - 1 + missing)
    await office.execute("UPDATE accounts SET last_transfer_id = (SELECT max(id) FROM transfers)")

    async with office.queries.snapshot() as view:
        if missing:
            with pytest.raises(AssertionError):
                await view.balance_at(shop.payer_id, before.created_at)
        else:
            assert await view.balance_at(shop.payer_id, before.created_at) == 10_000
