"""Verify knows what came from another shard and what has left: it is silent, and exact."""

import pytest

from storage.verify import verify, verify_shards
from tender.v1 import payment_pb2
from tests.conftest import Shard
from tests.lane.city import City, refund
from tests.lane.harness import authorize
from tests.lane.moving import Mover, bucket_of
from tests.lane.test_moves_with_users import MANUAL, merchant_on, open_on, town
from tests.storage.alterations import altered

__all__ = ["town"]

ALTERATIONS = {
    "a copied payment": (
        "s2",
        "payments",
        "UPDATE payments SET description = 'x' WHERE amount = 100",
        "description is 'x', expected ''",
    ),
    "an amount of a copied payment": (
        "s2",
        "payments",
        "UPDATE payments SET refunded = refunded - 1 WHERE amount = 100",
        "refunded is",
    ),
    "a copied payment is gone": (
        "s2",
        "payments",
        "DELETE FROM payments WHERE amount = 100",
        "is missing",
    ),
    "a copied refund": (
        "s2",
        "refunds",
        "UPDATE refunds SET amount = amount + 1 WHERE amount = 30",
        "amount is 31",
    ),
    "a copied key": (
        "s2",
        "requests",
        "UPDATE requests SET outcome = '' WHERE request_id = 'paid'",
        "digest of outcome is",
    ),
    "a copied key is gone": (
        "s2",
        "requests",
        "DELETE FROM requests WHERE request_id = 'paid'",
        "'paid': is missing",
    ),
    "a copied key that nobody copied": (
        "s2",
        "requests",
        "UPDATE requests SET request_id = 'invented' WHERE request_id = 'paid'",
        "'invented': is in the table",
    ),
    "a leg of the former shard": (
        "s2",
        "legs_moved",
        "UPDATE legs_moved SET state = 'SUSPENSE'",
        "state is 'SUSPENSE', expected ''",
    ),
    "how far the copy is": (
        "s2",
        "bucket_copies",
        "UPDATE bucket_copies SET seq = seq + 1",
        "bucket_copies bucket=",
    ),
    "a balance that came": (
        "s2",
        "accounts",
        "UPDATE accounts SET posted = posted + 5 WHERE held = 70",
        "sum of its transfers",
    ),
    "what is held of it": (
        "s2",
        "accounts",
        "UPDATE accounts SET held = 69 WHERE held = 70",
        "held is 69, expected 70",
    ),
    "a balance that left": (
        "s1",
        "accounts",
        "UPDATE accounts SET posted = 5 WHERE kind = 'CONSUMER_WALLET' AND posted = 0",
        "posted is 5, expected 0",
    ),
    "what was held of one that left": (
        "s1",
        "accounts",
        "UPDATE accounts SET held = 70, floor = -70 WHERE kind = 'CONSUMER_WALLET' AND posted = 0",
        "held is 70, expected 0",
    ),
}


@pytest.fixture
def databases(three_shards: dict[str, Shard]) -> dict[str, Shard]:
    return three_shards


async def test_what_is_altered_of_a_bucket_that_moved_is_named(
    town: City, databases: dict[str, Shard]
) -> None:
    caller = town["s1"]
    payer = await open_on(caller, "s1", 1_000)
    near, far = await merchant_on(caller, "s1"), await merchant_on(town["s3"], "s3")
    paid = await caller.ask(authorize(payer, near, 100, "paid"))
    await caller.ask(refund(paid.payment, 30))
    await caller.ask(authorize(payer, far, 50))
    held = await caller.ask(authorize(payer, near, 90, capture_method=MANUAL))
    await town.rest()
    mover = Mover(town, bucket_of(payer))
    await mover.move()
    part = payment_pb2.VoidPaymentRequest(request_id="void", payment_id=held.payment.id)
    await mover.caller.ask(part)
    await mover.caller.ask(authorize(payer, near, 70, capture_method=MANUAL))
    await town.rest()
    report = await verify_shards([shard.owner_url for shard in databases.values()])
    assert report.breaches == []

    for what, (shard, table, sql, says) in ALTERATIONS.items():
        async with altered(databases[shard], table, sql):
            found = (await verify(databases[shard].owner_url)).breaches
        assert any(says in breach for breach in found), (what, found)
