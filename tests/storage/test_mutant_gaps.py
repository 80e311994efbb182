"""What apply refuses although a lane that works would never ask for it; found by the mutants."""

import pytest

from processor.domain.legs import Outcome, Received
from processor.domain.payments import Payment
from processor.ports import Batch, Changed, Conflict, Crossed, Opened
from storage.postgres.lane_store import PostgresLaneStore
from tests.conftest import Shard
from tests.storage.test_ownership import account, after, batch_after, sealed

PAYMENT = Payment(
    id="pay_eu_1",
    tenant_id="dev",
    merchant_id="mer_eu_1",
    payer_account_id="acc_eu_1",
    settlement_account_id="acc_eu_2",
    state="AUTHORIZED",
    capture_method="MANUAL",
    decline_reason="",
    currency="EUR",
    amount=100,
    captured=0,
    capturable=100,
    refunded=0,
    refund_pending=0,
    fee=0,
    fee_refunded=0,
    fee_basis_points=0,
    fee_fixed=0,
    fee_refund_policy="KEEP",
    hold_expires_at=1_000_000,
    description="",
    metadata="",
    version=1,
    created_at=1,
    updated_at=1,
    payer_previous_id="",
)


def with_payment(opened: Opened, expected: int, payment: Payment) -> Batch:
    batch = batch_after(opened)
    return sealed(opened, batch._replace(payments=[Changed(expected, payment)]))


async def test_a_payment_with_another_version_is_refused(shard: Shard) -> None:
    store = PostgresLaneStore(shard.lane_url, "s1")
    opened = await store.open("first", evict=False)
    opened = await after(store, opened, with_payment(opened, 0, PAYMENT))
    voided = PAYMENT._replace(state="VOIDED", capturable=0, version=8)

    with pytest.raises(Conflict):
        await store.apply(opened.ownership, with_payment(opened, 7, voided))
    await store.close()


async def test_a_journal_row_that_skips_a_number_is_refused(shard: Shard) -> None:
    store = PostgresLaneStore(shard.lane_url, "s1")
    opened = await store.open("first", evict=False)
    opened = await after(store, opened, batch_after(opened, Changed(0, account())))
    ahead = opened._replace(seq=opened.seq + 1)

    with pytest.raises(Conflict):
        await store.apply(opened.ownership, batch_after(ahead, Changed(0, account("acc_eu_2"))))
    await store.close()


def with_leg(opened: Opened, number: int) -> Batch:
    taken = Received("s2", number, "", "", "", Outcome.NOTED, "{}")
    crossed = Crossed((), (taken,), (), (), ())
    return sealed(opened, batch_after(opened)._replace(crossed=crossed))


@pytest.mark.parametrize("number", [1, 3])
async def test_a_leg_that_comes_twice_or_skips_one_is_refused(shard: Shard, number: int) -> None:
    store = PostgresLaneStore(shard.lane_url, "s1")
    opened = await store.open("first", evict=False)
    opened = await after(store, opened, with_leg(opened, 1))

    with pytest.raises(Conflict):
        await store.apply(opened.ownership, with_leg(opened, number))
    await store.close()
