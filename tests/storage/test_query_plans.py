"""Every list walks its index: with ten thousand rows and the planner free to choose."""

import json
from collections.abc import Iterable
from typing import Any, Final

import asyncpg
import pytest

from processor import pages
from processor.domain import ids
from storage.postgres import chains
from storage.postgres.columns import instant
from storage.postgres.queries import BEGIN, SETTINGS
from storage.postgres.snapshot import PostgresSnapshot
from tests.conftest import Shard
from tests.domain.ledger import REGION
from tests.domain.shop import TENANT
from tests.storage.office import Office, fill_payments

FILL_TRANSFERS = """
    INSERT INTO transfers (
        id, debit_account_id, credit_account_id, amount, currency, reason, description,
        debit_posted_after, credit_posted_after, seq, created_at, debit_previous_id,
        credit_previous_id
    )
    SELECT 'trf_eu_' || lpad(n::text, 12, '0'), 'acc_eu_' || n % 100, 'acc_eu_' || (n + 1) % 100,
           1, 'EUR', 'PERSON_TO_PERSON', '', 0, 0, 1, now(),
           'trf_eu_' || lpad((n - 1)::text, 12, '0'), 'trf_eu_' || lpad((n - 99)::text, 12, '0')
      FROM generate_series(1, $1::int) AS n
"""
FILL_REFUNDS = """
    INSERT INTO refunds (
        id, payment_id, state, amount, currency, fee_refunded, description, seq, created_at
    )
    SELECT 'ref_eu_' || n, 'pay_eu_' || n % 1000, 'SUCCEEDED', 1, 'EUR', 0, '', 1, now()
      FROM generate_series(1, $1::int) AS n
"""
FILL_REQUESTS = """
    INSERT INTO requests (
        tenant_id, request_id, method, fingerprint, outcome, resource_id, seq, created_at
    )
    SELECT 'acme', 'order-' || n, 'AUTHORIZE_PAYMENT', '', '', 'pay_eu_' || n, 1, now()
      FROM generate_series(1, $1::int) AS n
"""
FILL_JOURNAL = """
    INSERT INTO journal (seq, epoch, incarnation, body, previous_hash, hash, created_at)
    SELECT n, 1, 'i1', '', sha256(''), sha256(''), now()
      FROM generate_series(1, $1::int) AS n
"""
FILL_ACCOUNTS = """
    INSERT INTO accounts (
        id, tenant_id, user_id, kind, currency, state, posted, held, floor, version, created_at,
        updated_at, last_transfer_id, last_payment_id
    )
    SELECT 'acc_eu_' || lpad(n::text, 12, '0'), 'acme', 'user-' || n % 1000, 'CONSUMER_WALLET',
           'EUR', 'OPEN', 0, 0, 0, 1, now(), now(), 'trf_eu_' || lpad(n::text, 12, '0'),
           'pay_eu_1' || lpad(n::text, 12, '0')
      FROM generate_series(1, $1::int) AS n
"""
FILL_MARKS = """
    INSERT INTO account_marks (account_id, transfer_id)
    SELECT 'acc_eu_' || n % 100, 'trf_eu_' || lpad(n::text, 12, '0')
      FROM generate_series(1, $1::int) AS n
"""
FILL_SENT = """
    INSERT INTO legs_sent (
        destination, number, seq, transfer_id, payment_id, state, body, created_at
    )
    SELECT 's2', n, 1, 'trf_eu_' || n, 'pay_eu_' || n, '', '{"account_id":"acc_us_7"}', now()
      FROM generate_series(1, $1::int) AS n
"""
FILL_RECEIVED = """
    INSERT INTO legs_received (
        source, number, seq, transfer_id, payment_id, remote_account_id, outcome, body, created_at
    )
    SELECT 's2', n, 1, 'trf_us_' || n, 'pay_us_' || n, 'acc_us_7', 'POSTED', '{}', now()
      FROM generate_series(1, $1::int) AS n
"""
FILL_ACKNOWLEDGED = """
    INSERT INTO legs_acknowledged (destination, number)
    SELECT 's' || n, 7 FROM generate_series(1, $1::int) AS n
"""

FILL_MOVED = """
    INSERT INTO legs_moved (source, destination, number, payment_id, state, body, created_at)
    SELECT 's3', 's2', n, 'pay_eu_' || n, '', '{}', now() FROM generate_series(1, $1::int) AS n
"""

FILLS: Final = (
    FILL_TRANSFERS, FILL_REFUNDS, FILL_REQUESTS, FILL_JOURNAL, FILL_ACCOUNTS, FILL_MARKS,
    FILL_SENT, FILL_RECEIVED, FILL_ACKNOWLEDGED, FILL_MOVED,
)  # fmt: skip


@pytest.fixture
async def full(office: Office) -> Office:
    """Ten thousand rows in every table that is listed."""
    await fill_payments(office, 10_000)
    for sql in FILLS:
        await office.execute(sql, 10_000)
    await office.execute("ANALYZE")
    return office


S = PostgresSnapshot
LIMIT: Final = 51
LEG_INDEXES: Final = {
    "legs_sent_payment_idx",
    "legs_acknowledged_pkey",
    "legs_moved_payment_idx",
}
ONE_ROW: Final = {"lane_buckets"}
GUARDED: Final[dict[str, tuple[str, list[Any], set[str]]]] = {
    "payments by merchant": (
        S.BY_MERCHANT,
        ["mer_eu_7", pages.FIRST, LIMIT],
        {"payments_merchant_idx"},
    ),
    "payments by payer": (
        chains.PAYMENTS_BY_PAYER,
        ["acc_eu_7", pages.FIRST, LIMIT],
        {"accounts_pkey", "payments_pkey"},
    ),
    "payments by both": (
        chains.PAYMENTS_BY_BOTH,
        ["acc_eu_7", pages.FIRST, LIMIT, "mer_eu_7"],
        {"accounts_pkey", "payments_pkey"},
    ),
    "payments by id": (S.PAYMENTS, [["pay_eu_7", "pay_eu_8"]], {"payments_pkey"}),
    "payments by tenant": (
        S.PAYMENTS_BY_TENANT,
        [pages.FIRST, TENANT, LIMIT],
        {"payments_pkey"},
    ),
    "payments by another tenant": (
        S.PAYMENTS_BY_TENANT,
        [pages.FIRST, "other", LIMIT],
        {"payments_pkey"},
    ),
    "end of a scan": (S.PAYMENTS_END, [pages.FIRST], {"payments_pkey"}),
    "accounts by user": (
        S.ACCOUNTS_BY_USER,
        [TENANT, "user-7", pages.FIRST, LIMIT],
        {"accounts_owner_idx"},
    ),
    "accounts by tenant": (
        S.ACCOUNTS_BY_TENANT,
        [pages.FIRST, TENANT, LIMIT],
        {"accounts_pkey"},
    ),
    "transfers": (
        chains.TRANSFERS,
        ["acc_eu_7", pages.FIRST, LIMIT],
        {"accounts_pkey", "transfers_pkey"},
    ),
    "balance": (
        chains.BALANCE_AT,
        ["acc_eu_7", ids.first_at(ids.TRANSFER, REGION, 10**15), instant(10**15)],
        {"account_marks_pkey", "accounts_pkey", "transfers_pkey"},
    ),
    "legs": (S.LEGS, ["pay_eu_7", 100], LEG_INDEXES),
    "other sides": (
        S.OTHER_SIDES,
        [["trf_eu_7", "trf_us_8"]],
        {"legs_sent_transfer_idx", "legs_received_transfer_idx"},
    ),
    "refunds": (S.REFUNDS, ["pay_eu_7", 100], {"refunds_payment_idx"}),
    "payment by request": (
        S.PAYMENT_BY_REQUEST,
        [TENANT, "order-1"],
        {"requests_pkey", "payments_pkey"},
    ),
    "head": (S.HEAD, ["s1"], {"journal_pkey"}),
}


async def test_every_list_walks_its_index_and_sorts_no_table(full: Office, shard: Shard) -> None:
    connection = await asyncpg.connect(shard.reader_url, server_settings=SETTINGS)
    try:
        await connection.execute(BEGIN)
        plans = {
            name: json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *arguments))[
                0
            ]["Plan"]
            for name, (sql, arguments, _) in GUARDED.items()
        }
    finally:
        await connection.close()

    for name, (_, _, indexes) in GUARDED.items():
        nodes = list(flat(plans[name]))
        assert {node["Index Name"] for node in nodes if "Index Name" in node} == indexes, name
        scanned = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
        assert scanned <= ONE_ROW, name
        sorted_rows = [node["Plan Rows"] for node in nodes if "Sort" in node["Node Type"]]
        assert all(count <= 2 * LIMIT for count in sorted_rows), name


async def test_a_single_payment_is_found_by_keys_whatever_the_plan_is_made_for(
    office: Office, shard: Shard
) -> None:
    # No table has a row, which is when a plan that is kept would be the worst.
    connection = await asyncpg.connect(shard.reader_url, server_settings=SETTINGS)
    try:
        for name, sql, arguments, indexes in (
            ("one", S.PAYMENT, "'p', 1, 1", {"payments_pkey", "refunds_payment_idx", *LEG_INDEXES}),
            ("head", S.HEAD, "'s1'", {"journal_pkey", "lane_buckets_pkey"}),
        ):
            await connection.execute(f"PREPARE {name} AS {sql}")
            explained = await connection.fetchval(
                f"EXPLAIN (FORMAT JSON) EXECUTE {name}({arguments})"
            )
            nodes = list(flat(json.loads(explained)[0]["Plan"]))

            assert {node["Index Name"] for node in nodes if "Index Name" in node} == indexes
            assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]
    finally:
        await connection.close()


def flat(plan: dict[str, Any]) -> Iterable[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from flat(below)
