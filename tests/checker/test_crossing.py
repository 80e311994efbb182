"""The second checker on three real shards: silent about the truth, exact about every lie."""

import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from deploy.local.stack import Stack
from storage.postgres.lane_store import PostgresLaneStore
from tender.v1 import account_pb2, payment_pb2
from tests.checker import History, check
from tests.checker.test_checker import Recording
from tests.conftest import Shard, fresh_shard
from tests.databases import Databases
from tests.lane.city import REGIONS, City, city_of, refund
from tests.lane.harness import authorize, euros, unique
from tests.storage.alterations import altered

MULTIPLE = payment_pb2.CAPTURE_METHOD_MANUAL_MULTIPLE


class Run(NamedTuple):
    """What was recorded, and where it is."""

    history: History
    shards: dict[str, Shard]

    async def check(self) -> list[str]:
        return await check(self.history, *(shard.reader_url for shard in self.shards.values()))


@pytest.fixture(scope="module")
async def run(engines: Stack, shard_databases: Databases) -> AsyncIterator[Run]:
    """A run over three shards with every kind of leg, at rest."""
    async with contextlib.AsyncExitStack() as stack:
        shards = {
            name: await stack.enter_async_context(fresh_shard(engines, shard_databases))
            for name in REGIONS
        }

        def store(name: str) -> PostgresLaneStore:
            return PostgresLaneStore(shards[name].lane_url, name, tenure_seconds_min=0)

        city = await stack.enter_async_context(city_of(store))
        history = History()
        await operate(city, history)
        yield Run(history, shards)


async def operate(city: City, history: History) -> None:
    callers = {shard: Recording(lane) for shard, lane in city.lanes.items()}
    for caller in callers.values():
        caller.history = history
    one, two, three = callers.values()
    payer, friend = await one.account("alice", 50_000), await three.account("bob", 100)
    merchant = await two.merchant("cafe", basis_points=150, fixed=10)
    first = authorize(payer, merchant, 1_000, "first")
    paid = await one.ask(first)
    assert await one.ask(first) == paid
    await one.ask(refund(paid.payment, 300))
    parts = await one.ask(authorize(payer, merchant, 900, "parts", capture_method=MULTIPLE))
    for amount in (200, 333):
        await one.ask(
            payment_pb2.CapturePaymentRequest(
                request_id=unique(), payment_id=parts.payment.id, amount=euros(amount)
            )
        )
    await one.ask(
        account_pb2.CreateTransferRequest(
            request_id="gift",
            source_account_id=payer,
            destination_account_id=friend,
            amount=euros(70),
        )
    )
    await city.rest()
    await city.rest()
    wallet = paid.payment.settlement_account_id
    await two.ask(account_pb2.FreezeAccountRequest(request_id=unique(), account_id=wallet))
    await one.ask(authorize(payer, merchant, 55, "late"))
    await one.ask(refund(paid.payment, 20))
    await city.rest()
    await city.rest()
    await two.ask(account_pb2.UnfreezeAccountRequest(request_id=unique(), account_id=wallet))


async def test_a_true_history_over_shards_fits(run: Run) -> None:
    assert await run.check() == []


AGAIN = (
    "INSERT INTO transfers SELECT 'trf_us_9' || id, debit_account_id, credit_account_id, amount,"
    " currency, reason, payment_id, refund_id, description, 0, 0, seq, created_at, '', ''"
    " FROM transfers WHERE "
)
LIES = {
    "a credit is lost": (
        "s2",
        "transfers",
        "DELETE FROM transfers WHERE reason = 'CAPTURE' AND amount = 1000",
        "was not credited",
    ),
    "a credit is doubled": (
        "s2",
        "transfers",
        AGAIN + "reason = 'CAPTURE' AND amount = 333",
        "was credited twice",
    ),
    "a credit has another amount": (
        "s2",
        "transfers",
        "UPDATE transfers SET amount = 1001 WHERE reason = 'CAPTURE' AND amount = 1000",
        "1000 of pay_",
    ),
    "a credit lies in suspense though nothing was in its way": (
        "s3",
        "transfers",
        "UPDATE transfers SET credit_account_id = 'sys_jp_s3_dev_suspense_EUR'"
        " WHERE reason = 'PERSON_TO_PERSON'",
        "did not arrive",
    ),
    "money in suspense is lost": (
        "s2",
        "transfers",
        "DELETE FROM transfers WHERE amount = 55",
        "55 of pay_",
    ),
    "a fee is charged twice": (
        "s2",
        "transfers",
        AGAIN + "reason = 'FEE' AND amount = 25",
        "was charged wrongly",
    ),
    "a gift is lost": (
        "s3",
        "transfers",
        "DELETE FROM transfers WHERE reason = 'PERSON_TO_PERSON'",
        "did not arrive",
    ),
    "a gift is doubled": (
        "s3",
        "transfers",
        AGAIN + "reason = 'PERSON_TO_PERSON'",
        "got 70 from another shard, no client sent it",
    ),
    "a refund that the merchant gave is lost": (
        "s1",
        "transfers",
        "DELETE FROM transfers WHERE reason = 'REFUND'",
        "the merchant gave {300: 1} and the payer got {}",
    ),
    "a refund that failed was given": (
        "s1",
        "refunds",
        "UPDATE refunds SET state = 'FAILED', failure_reason = 'ACCOUNT_FROZEN', fee_refunded = 0"
        " WHERE amount = 300",
        "the merchant gave {300: 1} and the payer got {300: 1}",
    ),
    "a refund never ends": (
        "s1",
        "refunds",
        "UPDATE refunds SET state = 'PENDING' WHERE amount = 300",
        "is PENDING EUR",
    ),
    "a refund fails for no reason": (
        "s1",
        "refunds",
        "UPDATE refunds SET failure_reason = 'NONSENSE' WHERE amount = 20",
        "is FAILED EUR",
    ),
    "a reservation for a refund stays": (
        "s1",
        "payments",
        "UPDATE payments SET refund_pending = 20 WHERE amount = 1000",
        "the database has version",
    ),
    "a payment has a version that nobody made": (
        "s1",
        "payments",
        "UPDATE payments SET version = version + 1 WHERE amount = 1000",
        "the database has version",
    ),
    "a balance is another": (
        "s2",
        "accounts",
        "UPDATE accounts SET posted = posted + 5 WHERE kind = 'MERCHANT_WALLET'",
        "what clients did adds up to",
    ),
    "clearing accounts do not cancel": (
        "s1",
        "accounts",
        "UPDATE accounts SET posted = posted + 5 WHERE kind = 'CLEARING'",
        "clearing between s1 and s2 in EUR adds up to 5, not to 0",
    ),
    "a request took effect on two shards": (
        "s3",
        "requests",
        "UPDATE requests SET request_id = 'first' WHERE request_id ="
        " (SELECT min(request_id) FROM requests)",
        "request 'first': its key is stored on two shards",
    ),
    "a merchant's copy is another": (
        "s3",
        "merchants",
        "UPDATE merchants SET display_name = 'other'",
        "is not the same on all shards",
    ),
}


@pytest.mark.parametrize("what", LIES)
async def test_a_lie_over_shards_is_found(what: str, run: Run) -> None:
    name, table, sql, says = LIES[what]

    async with altered(run.shards[name], table, sql):
        problems = await run.check()

    assert any(says in problem for problem in problems), problems
