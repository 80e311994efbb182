"""A reversal that comes first declines its own original, and nobody else's."""

from tender.v1 import payment_pb2
from tests.lane.harness import Caller, authorize, unique


def reversal(payer: str, merchant: str, original: str) -> payment_pb2.ReversePaymentRequest:
    return payment_pb2.ReversePaymentRequest(
        request_id=unique(),
        original_request_id=original,
        payer_account_id=payer,
        merchant_id=merchant,
    )


async def test_another_merchants_reversal_does_not_decline_an_original(caller: Caller) -> None:
    payer = await caller.account("alice", 1_000)
    cafe, kiosk = await caller.merchant("cafe"), await caller.merchant("kiosk")
    await caller.ask(reversal(payer, kiosk, "guessed"))

    reason = await caller.refused(authorize(payer, cafe, 100, "guessed"))

    assert reason == "REQUEST_ID_REUSED"


async def test_a_second_reversal_for_somebody_else_finds_nothing(caller: Caller) -> None:
    payer = await caller.account("alice", 1_000)
    cafe, kiosk = await caller.merchant("cafe"), await caller.merchant("kiosk")
    await caller.ask(reversal(payer, cafe, "mine"))

    again = await caller.ask(reversal(payer, cafe, "mine"))
    reason = await caller.refused(reversal(payer, kiosk, "mine"))

    assert again.result == payment_pb2.ReversePaymentResponse.RESULT_NOT_ARRIVED
    assert reason == "PAYMENT_UNKNOWN"
