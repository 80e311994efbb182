"""The second checker on a real shard: silent about the truth, exact about every lie."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import asyncpg
import pytest
from google.protobuf.message import Message

from storage.postgres.lane_store import PostgresLaneStore
from tender.v1 import payment_pb2
from tests.checker import History, check
from tests.checker.history import REUSED
from tests.conftest import Shard
from tests.lane.conftest import running
from tests.lane.harness import OPERATOR, Caller, authorize, euros, unique

MANUAL = payment_pb2.CAPTURE_METHOD_MANUAL
MULTIPLE = payment_pb2.CAPTURE_METHOD_MANUAL_MULTIPLE
Capture = payment_pb2.CapturePaymentRequest
Refund = payment_pb2.RefundPaymentRequest


class Recording(Caller):
    """A caller whose every call is recorded; it may lose the answers of some."""

    history: History

    async def ask(self, request: Any, principal: Any = OPERATOR, *, lose: bool = False) -> Any:
        operation = self.history.invoke(request)
        reply = await asyncio.wait_for(self.send(request, principal), 30)
        if lose:
            operation.unknown("DEADLINE_EXCEEDED")
            return None
        if reply.reason:
            operation.refused(reply.reason)
            return reply.reason
        operation.ok(reply.response)
        return operation.response


class Run(NamedTuple):
    """What was recorded."""

    history: History
    payer: str
    merchant: str


@pytest.fixture
async def run(shard: Shard) -> Run:
    """A run with every kind of operation and every kind of end."""
    async with running(PostgresLaneStore(shard.lane_url, "s1")) as lane:
        caller = Recording(lane)
        caller.history = History()
        payer = await caller.account("alice", 50_000)
        merchant = await caller.merchant("shop", basis_points=150, fixed=10)
        await operate(caller, payer, merchant)
        return Run(caller.history, payer, merchant)


async def operate(caller: Recording, payer: str, merchant: str) -> None:
    first = authorize(payer, merchant, 1_000, "first")
    paid, again = await caller.ask(first), await caller.ask(first)
    assert paid == again
    assert await caller.ask(authorize(payer, merchant, 1_001, "first")) == REUSED
    for amount in (100, 250):
        refund = Refund(request_id=unique(), payment_id=paid.payment.id, amount=euros(amount))
        await caller.ask(refund)
    parts = await caller.ask(authorize(payer, merchant, 900, capture_method=MULTIPLE))
    part = Capture(request_id=unique(), payment_id=parts.payment.id, amount=euros(300))
    await caller.ask(part)
    await caller.ask(Capture(request_id=unique(), payment_id=parts.payment.id))
    too_much = Refund(request_id="refused", payment_id=parts.payment.id, amount=euros(10_000))
    assert await caller.ask(too_much) == "REFUND_EXCEEDS_CAPTURED"
    held = await caller.ask(authorize(payer, merchant, 70, "held", capture_method=MANUAL))
    voided = await caller.ask(authorize(payer, merchant, 80, "voided", capture_method=MANUAL))
    await caller.ask(
        payment_pb2.VoidPaymentRequest(request_id="void", payment_id=voided.payment.id)
    )
    assert held.payment.capturable.minor_units == 70
    await caller.ask(authorize(payer, merchant, 10_000_000, "declined"))
    await caller.ask(authorize(payer, merchant, 60, "lost"), lose=True)
    caller.history.invoke(authorize(payer, merchant, 61, "never-sent"))
    for original in ("lost", "not-arrived"):
        await caller.ask(
            payment_pb2.ReversePaymentRequest(
                request_id=unique(),
                original_request_id=original,
                payer_account_id=payer,
                merchant_id=merchant,
            )
        )


async def execute(shard: Shard, sql: str) -> None:
    connection = await asyncpg.connect(shard.owner_url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def test_a_true_history_fits(shard: Shard, run: Run) -> None:
    assert await check(run.history, shard.reader_url) == []


OF = "(SELECT resource_id FROM requests WHERE request_id = '{}')"

LIES = {
    "a payment is lost": (
        f"DELETE FROM payments WHERE id = {OF.format('first')}",
        "request 'first' (AUTHORIZE_PAYMENT, acknowledged): payment",
    ),
    "a payment nobody saw acknowledged is lost": (
        f"DELETE FROM payments WHERE id = {OF.format('lost')}",
        "request 'lost' (AUTHORIZE_PAYMENT, not acknowledged): payment",
    ),
    "a void is undone": (
        "UPDATE payments SET state = 'AUTHORIZED', capturable = 80, version = 1"
        f" WHERE id = {OF.format('voided')}",
        "request 'void' (VOID_PAYMENT, acknowledged): payment",
    ),
    "a terminal state is left": (
        "UPDATE payments SET state = 'AUTHORIZED', capturable = 80, version = 3"
        f" WHERE id = {OF.format('voided')}",
        "was VOIDED for good, the database has AUTHORIZED at version 3",
    ),
    "a hold is captured by nobody": (
        "UPDATE payments SET state = 'CAPTURED', captured = 70, capturable = 0, version = 2"
        f" WHERE id = {OF.format('held')}",
        "the database has version 2 (CAPTURED), but the last that a client asked for is 1",
    ),
    "an amount is another": (
        f"UPDATE payments SET amount = 1001 WHERE id = {OF.format('first')}",
        "was over (1000, 'EUR'), the database has 1001 EUR",
    ),
    "a refund is lost": ("DELETE FROM refunds WHERE amount = 250", "is not in the database"),
    "a refund is another": (
        "UPDATE refunds SET amount = 251 WHERE amount = 250",
        "the database has",
    ),
    "a request key is lost": (
        "DELETE FROM requests WHERE request_id = 'first'",
        "request 'first' (AUTHORIZE_PAYMENT, acknowledged): its request key is missing",
    ),
    "a stored answer is another": (
        "UPDATE requests SET outcome = '' WHERE request_id = 'first'",
        "request 'first' (AUTHORIZE_PAYMENT, acknowledged): the stored answer is not the one",
    ),
    "a refused request left its key": (
        "UPDATE requests SET request_id = 'refused' WHERE request_id = 'held'",
        "request 'refused': was refused (REFUND_EXCEEDS_CAPTURED), but its request key is stored",
    ),
    "an effect without a key": (
        "DELETE FROM requests WHERE request_id = 'lost'",
        "no request that was carried out made it",
    ),
    "a request took effect twice": (
        "INSERT INTO payments SELECT (payments).* FROM (SELECT payments #= hstore('id', 'x')"
        " AS payments FROM payments LIMIT 1) AS twice",
        "payment x: CAPTURED over 1000 EUR, no client asked for it",
    ),
    "a top-up is lost": (
        "DELETE FROM transfers WHERE reason = 'TOP_UP'",
        "is not in the database",
    ),
    "a top-up came from nowhere": (
        "INSERT INTO transfers SELECT 'x', debit_account_id, credit_account_id, 1, currency,"
        " reason, NULL, NULL, '', 0, 0, 1, created_at, '', '' FROM transfers"
        " WHERE reason = 'TOP_UP'",
        "transfer x: TOP_UP of 1, no client asked for it",
    ),
    "a balance is another": (
        "UPDATE accounts SET posted = posted + 5 WHERE user_id = 'alice'",
        "what clients did adds up to",
    ),
    "a hold is another": (
        "UPDATE accounts SET held = held + 5 WHERE user_id = 'alice'",
        "held is 75, what clients did adds up to 70",
    ),
    "an account is frozen by nobody": (
        "UPDATE accounts SET state = 'FROZEN' WHERE user_id = 'alice'",
        "was OPEN last, the database has FROZEN",
    ),
    "a list of transfers ends too soon": (
        "UPDATE transfers SET debit_previous_id = '' WHERE debit_previous_id <> ''"
        " AND reason = 'CAPTURE'",
        "its list of transfers from",
    ),
    "a list of transfers leaves one out": (
        "UPDATE transfers AS t SET credit_previous_id = b.credit_previous_id FROM transfers AS b"
        " WHERE b.id = t.credit_previous_id AND t.reason = 'CAPTURE'",
        "its list of transfers from",
    ),
    "a list of transfers begins in the middle": (
        "UPDATE accounts SET last_transfer_id = (SELECT id FROM transfers WHERE reason = 'TOP_UP')"
        " WHERE user_id = 'alice'",
        "has 1, it has",
    ),
    "a list of payments goes round": (
        "UPDATE payments SET payer_previous_id = id WHERE payer_previous_id = ''",
        "its list of payments from",
    ),
    "a list of payments is lost": (
        "UPDATE accounts SET last_payment_id = '' WHERE user_id = 'alice'",
        "its list of payments from '' has 0, it has",
    ),
    "a mark leads to another account": (
        "INSERT INTO account_marks SELECT id, 'trf_eu_x' FROM accounts WHERE user_id = 'alice'",
        "mark trf_eu_x is not one of its transfers",
    ),
    "a merchant is lost": ("DELETE FROM merchants", "is not in the database"),
}


@pytest.mark.parametrize("what", LIES)
async def test_a_lie_is_found(what: str, shard: Shard, run: Run) -> None:
    sql, says = LIES[what]
    if "hstore" in sql:
        await execute(shard, "CREATE EXTENSION hstore")

    await execute(shard, sql)
    problems = await check(run.history, shard.reader_url)

    assert any(says in problem for problem in problems), problems


async def test_two_answers_to_one_request_are_found(shard: Shard, run: Run) -> None:
    first = next(one for one in run.history.operations if one.request_id == "first")
    second = run.history.invoke(first.request)
    answer = payment_pb2.AuthorizePaymentResponse()
    answer.CopyFrom(first.response)
    answer.payment.id = "pay_eu_other"

    second.ok(answer)

    [problem] = await check(run.history, shard.reader_url)
    assert "request 'first'" in problem
    assert "was answered differently when it was repeated" in problem


async def test_an_answer_that_was_never_committed_is_found(shard: Shard, run: Run) -> None:
    first = next(one for one in run.history.operations if one.request_id == "first")
    never = run.history.invoke(authorize(run.payer, run.merchant, 1_000, "never"))
    never.ok(changed(first.response, lambda answer: setattr(answer.payment, "id", "pay_never")))

    problems = await check(run.history, shard.reader_url)

    assert "request 'never' (AUTHORIZE_PAYMENT, acknowledged): its request key is missing" in (
        problems
    )
    assert any("payment pay_never is not in the database" in problem for problem in problems)


def changed(message: Message, change: Callable[[Any], None]) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    change(copy)
    return copy
