"""What a lane promises, whatever its storage: one effect per request, exact answers, bounds."""

import asyncio

from tender.v1 import account_pb2, payment_pb2
from tests.lane.harness import Caller, authorize, euros, unique

CAPTURED = payment_pb2.Payment.STATE_CAPTURED


async def test_a_payment_moves_money_and_fee(caller: Caller) -> None:
    payer = await caller.account("alice", 10_000)
    merchant = await caller.merchant("cafe", basis_points=250, fixed=10)

    response = await caller.ask(authorize(payer, merchant, 1_000))

    assert response.payment.state == CAPTURED
    assert response.payment.fee.minor_units == 35
    assert response.read_token.startswith("s1.")


async def test_the_same_request_gets_the_first_answer_again(caller: Caller) -> None:
    payer = await caller.account("alice", 10_000)
    merchant = await caller.merchant("cafe")
    request = authorize(payer, merchant, 1_000)

    first = await caller.send(request)
    again = await caller.send(request)

    assert again.response == first.response
    assert (first.replayed, again.replayed) == (False, True)


async def test_a_request_id_with_another_amount_is_refused_naming_the_field(
    caller: Caller,
) -> None:
    payer = await caller.account("alice", 10_000)
    merchant = await caller.merchant("cafe")
    await caller.ask(authorize(payer, merchant, 1_000, "same"))

    reply = await caller.send(authorize(payer, merchant, 2_000, "same"))

    assert reply.reason == "REQUEST_ID_REUSED"
    assert reply.metadata["fields"] == "amount.minor_units"


async def test_a_hundred_concurrent_calls_with_one_request_id_have_one_effect(
    caller: Caller,
) -> None:
    payer = await caller.account("alice", 10_000)
    merchant = await caller.merchant("cafe")
    request = authorize(payer, merchant, 1_000)

    replies = await asyncio.gather(*(caller.send(request) for _ in range(100)))

    assert {reply.response for reply in replies} == {replies[0].response}
    assert sum(not reply.replayed for reply in replies) == 1
    frozen = await caller.ask(
        account_pb2.FreezeAccountRequest(request_id=unique(), account_id=payer)
    )
    assert frozen.account.posted.minor_units == 9_000


async def test_of_many_refunds_exactly_the_affordable_ones_succeed(caller: Caller) -> None:
    payer = await caller.account("alice", 10_000)
    merchant = await caller.merchant("cafe")
    paid = await caller.ask(authorize(payer, merchant, 1_000))
    refunds = [
        payment_pb2.RefundPaymentRequest(
            request_id=unique(), payment_id=paid.payment.id, amount=euros(30)
        )
        for _ in range(50)
    ]

    replies = await asyncio.gather(*(caller.send(refund) for refund in refunds))

    reasons = [reply.reason for reply in replies]
    assert reasons.count("") == 33
    assert reasons.count("REFUND_EXCEEDS_CAPTURED") == 17


async def test_of_many_captures_and_voids_one_wins(caller: Caller) -> None:
    payer = await caller.account("alice", 10_000)
    merchant = await caller.merchant("cafe")
    held = await caller.ask(
        authorize(payer, merchant, 1_000, capture_method=payment_pb2.CAPTURE_METHOD_MANUAL)
    )
    requests = [
        message(request_id=unique(), payment_id=held.payment.id)
        for _ in range(25)
        for message in (payment_pb2.CapturePaymentRequest, payment_pb2.VoidPaymentRequest)
    ]

    replies = await asyncio.gather(*(caller.send(request) for request in requests))

    reasons = [reply.reason for reply in replies]
    assert reasons.count("") == 1
    assert reasons.count("PAYMENT_STATE") == 49


async def test_a_decline_is_an_answer_and_is_replayed(caller: Caller) -> None:
    payer = await caller.account("alice", 10)
    merchant = await caller.merchant("cafe")
    request = authorize(payer, merchant, 1_000)

    first = await caller.ask(request)
    again = await caller.send(request)

    assert first.payment.state == payment_pb2.Payment.STATE_DECLINED
    assert first.payment.decline_reason == payment_pb2.DECLINE_REASON_INSUFFICIENT_FUNDS
    assert again.replayed


async def test_a_reversal_that_comes_first_declines_the_late_original(caller: Caller) -> None:
    payer = await caller.account("alice", 10_000)
    merchant = await caller.merchant("cafe")
    original = authorize(payer, merchant, 1_000)
    reversal = payment_pb2.ReversePaymentRequest(
        request_id=unique(),
        original_request_id=original.request_id,
        payer_account_id=payer,
        merchant_id=merchant,
    )

    reversed_first = await caller.ask(reversal)
    late = await caller.ask(original)
    again = await caller.send(original)

    assert reversed_first.result == payment_pb2.ReversePaymentResponse.RESULT_NOT_ARRIVED
    assert late.payment.decline_reason == payment_pb2.DECLINE_REASON_REVERSED
    assert again.replayed


async def test_a_reversal_sent_with_its_original_leaves_no_money_moved(caller: Caller) -> None:
    payer = await caller.account("alice", 10_000)
    merchant = await caller.merchant("cafe")
    original = authorize(payer, merchant, 1_000)
    reversal = payment_pb2.ReversePaymentRequest(
        request_id=unique(),
        original_request_id=original.request_id,
        payer_account_id=payer,
        merchant_id=merchant,
    )

    await asyncio.gather(caller.send(original), caller.send(reversal))

    frozen = await caller.ask(
        account_pb2.FreezeAccountRequest(request_id=unique(), account_id=payer)
    )
    assert frozen.account.posted.minor_units == 10_000
    assert frozen.account.held.minor_units == 0


async def test_two_thousand_payments_by_a_hundred_payers_add_up(caller: Caller) -> None:
    payers = [await caller.account(f"user-{n}", 100_000) for n in range(100)]
    merchant = await caller.merchant("cafe", basis_points=100)

    replies = await asyncio.gather(
        *(caller.send(authorize(payers[n % 100], merchant, 100)) for n in range(2_000))
    )

    assert all(not reply.reason for reply in replies)
    frozen = await caller.ask(
        account_pb2.FreezeAccountRequest(request_id=unique(), account_id=payers[0])
    )
    assert frozen.account.posted.minor_units == 100_000 - 20 * 100
