"""What is read of a bucket to copy it: all of it in pages, then what changes meanwhile."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from processor.domain.copies import Page
from processor.domain.view import Position
from storage.postgres.copies import ROWS_MAX, SCAN_MAX, Copies
from storage.postgres.lane_store import PostgresLaneStore
from tests.conftest import Shard
from tests.lane.conftest import running
from tests.lane.harness import Caller, authorize

FILL_PAYMENTS = """
    INSERT INTO payments (
        id, tenant_id, merchant_id, payer_account_id, settlement_account_id, state, capture_method,
        decline_reason, currency, amount, captured, capturable, refunded, refund_pending, fee,
        fee_refunded, fee_basis_points, fee_fixed, fee_refund_policy, description, metadata,
        version, created_at, updated_at, payer_previous_id
    )
    SELECT 'pay_eu_' || lpad(n::text, 12, '0') || CASE WHEN n % 40 = 0 THEN '0a' ELSE '0b' END,
           'dev', 'mer_eu_x', 'acc_eu_x', 'acc_eu_y', 'CAPTURED', 'AUTOMATIC', '', 'EUR', 1, 1, 0,
           0, 0, 0, 0, 0, 0, 'KEEP', '', '', 1, now(), now(), ''
      FROM generate_series(1, $1::int) AS n
"""
FILL_KEYS = """
    INSERT INTO requests (
        tenant_id, request_id, method, fingerprint, outcome, resource_id, seq, created_at
    )
    SELECT 'dev', 'r-' || n, 'AUTHORIZE_PAYMENT', '', '',
           'pay_eu_' || lpad(n::text, 12, '0') || CASE WHEN n % 40 = 0 THEN '0a' ELSE '0b' END,
           1, now()
      FROM generate_series(1, $1::int) AS n
"""
COUNT = SCAN_MAX + SCAN_MAX // 2
OF_BUCKET = COUNT // 40


@pytest.fixture
async def connection(shard: Shard) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    found = await asyncpg.connect(shard.owner_url)
    try:
        yield found
    finally:
        await found.close()


async def walk(copies: Copies, bucket: str, after: Position | None = None) -> list[Page]:
    """Read pages until nothing more comes."""
    pages: list[Page] = []
    while True:
        page = await copies.page("eu", bucket, after)
        if page.to == after:
            return pages
        pages.append(page)
        after = page.to


async def test_a_walk_finds_every_row_of_a_bucket_and_no_other(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await connection.execute(FILL_PAYMENTS, COUNT)
    await connection.execute(FILL_KEYS, COUNT)

    pages = await walk(Copies(connection, "s1"), "0a")

    payments = [payment.id for page in pages for payment in page.payments]
    keys = [one.key.request_id for page in pages for one in page.keys]
    assert len(payments) == len(set(payments)) == OF_BUCKET
    assert len(keys) == len(set(keys)) == OF_BUCKET
    assert {name[-2:] for name in payments} == {"0a"}
    assert all(len(page.payments) + len(page.keys) <= ROWS_MAX for page in pages)
    assert pages[0].after is None
    assert [page.to for page in pages[:-1]] == [page.after for page in pages[1:]]


async def test_keys_without_a_resource_and_tombstones_go_along(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    for request_id, method, resource in (
        ("nothing", "REVERSE_PAYMENT", ""),
        ("early", "TOMBSTONE", "acc_eu_1230a mer_eu_4560b"),
        ("other", "TOMBSTONE", "acc_eu_1230b mer_eu_4560a"),
    ):
        await connection.execute(
            "INSERT INTO requests VALUES ('dev', $1, $2, '', '', $3, 1, now())",
            request_id,
            method,
            resource,
        )

    pages = await walk(Copies(connection, "s1"), "0a")

    assert {one.key.request_id for page in pages for one in page.keys} == {"nothing", "early"}


async def test_what_changes_after_the_walk_is_read_once_more(
    shard: Shard, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with running(PostgresLaneStore(shard.lane_url, "s1")) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        copies, bucket = Copies(connection, "s1"), payer[-2:]
        reached = (await walk(copies, bucket))[-1].to
        paid = await caller.ask(authorize(payer, merchant, 10, "later"))

        pages = await walk(copies, bucket, reached)

        assert [payment.id for page in pages for payment in page.payments] == [paid.payment.id]
        assert [one.key.request_id for page in pages for one in page.keys] == ["later"]


async def test_a_position_of_a_lost_history_begins_the_copy_anew(
    shard: Shard, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with running(PostgresLaneStore(shard.lane_url, "s1")) as lane:
        await Caller(lane).account("alice", 1_000)
        copies = Copies(connection, "s1")
        reached = (await walk(copies, "0a"))[-1].to
        for lost in (
            reached._replace(incarnation="another"),
            reached._replace(seq=reached.seq + 9),
            reached._replace(source="s9"),
        ):
            page = await copies.page("eu", "0a", lost)
            assert (page.after, page.to.seq, page.to.source) == (None, reached.seq, "s1")
