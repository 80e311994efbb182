"""A terminal that timed out reverses: before, during and after its original, no money moves."""

import asyncio
from typing import Any

import pytest

import tender
from tests.acceptance.load import FUNDS, Recorder, Shop, open_shop

PAIRS = 100
AMOUNT = 500
Result = tender.ReversePaymentResponse
AUTOMATIC, MANUAL = tender.CAPTURE_METHOD_AUTOMATIC, tender.CAPTURE_METHOD_MANUAL


@pytest.fixture
async def shop(recorder: Recorder) -> Shop:
    return await open_shop(recorder, customers=10)


async def assert_nothing_moved(recorder: Recorder, shop: Shop) -> None:
    """Every customer has what they had, and the shop has nothing."""
    wallet = (await recorder.client.get_account(account_id=shop.account_id)).account
    assert wallet.posted.minor_units == 0
    for customer in shop.customers:
        account = (await recorder.client.get_account(account_id=customer)).account
        assert (account.posted.minor_units, account.held.minor_units) == (FUNDS, 0)


@pytest.mark.parametrize("capture_method", [AUTOMATIC, MANUAL])
async def test_a_reversal_before_its_original_lets_it_be_declined(
    recorder: Recorder, shop: Shop, capture_method: tender.CaptureMethod
) -> None:
    original = shop.pay(0, AMOUNT, capture_method=capture_method)

    reversed_ = await recorder.surely(shop.reverse(original))
    late = await recorder.surely(original)
    again = await recorder.surely(original)

    assert reversed_.result == Result.RESULT_NOT_ARRIVED
    assert late.payment.state == tender.Payment.STATE_DECLINED
    assert again == late
    await assert_nothing_moved(recorder, shop)


@pytest.mark.parametrize(
    ("capture_method", "result"),
    [(AUTOMATIC, Result.RESULT_REFUNDED), (MANUAL, Result.RESULT_VOIDED)],
)
async def test_a_reversal_after_its_original_undoes_it(
    recorder: Recorder,
    shop: Shop,
    capture_method: tender.CaptureMethod,
    result: "tender.ReversePaymentResponse.Result",
) -> None:
    original = shop.pay(0, AMOUNT, capture_method=capture_method)
    paid = await recorder.surely(original)

    reversal = shop.reverse(original)
    reversed_ = await recorder.surely(reversal)
    again = await recorder.surely(reversal)
    second = await recorder.surely(shop.reverse(original))

    assert (reversed_.result, reversed_.payment.id) == (result, paid.payment.id)
    assert again == reversed_
    assert second.result == Result.RESULT_NOTHING_TO_REVERSE
    assert await recorder.surely(original) == paid
    await assert_nothing_moved(recorder, shop)


@pytest.mark.parametrize("capture_method", [AUTOMATIC, MANUAL])
async def test_a_hundred_reversals_at_the_instant_of_their_originals_leave_no_money_moved(
    recorder: Recorder, shop: Shop, capture_method: tender.CaptureMethod
) -> None:
    originals = [shop.pay(n, AMOUNT, capture_method=capture_method) for n in range(PAIRS)]

    async def both(number: int) -> tuple[Any, Any]:
        original, reversal = originals[number], shop.reverse(originals[number])
        if number % 2:
            paid, reversed_ = await asyncio.gather(
                recorder.surely(original), recorder.surely(reversal)
            )
        else:
            reversed_, paid = await asyncio.gather(
                recorder.surely(reversal), recorder.surely(original)
            )
        return paid, reversed_

    pairs = await asyncio.gather(*map(both, range(PAIRS)))

    for paid, reversed_ in pairs:
        came_first = reversed_.result == Result.RESULT_NOT_ARRIVED
        assert came_first == (paid.payment.state == tender.Payment.STATE_DECLINED)
        assert came_first or reversed_.payment.id == paid.payment.id
    await assert_nothing_moved(recorder, shop)
