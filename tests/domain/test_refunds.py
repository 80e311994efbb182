"""Giving captured money back, and fees with it."""

import pytest

from processor.domain import refusals
from processor.domain.accounts import LIMIT, State
from processor.domain.fees import RefundPolicy
from tests.domain.shop import AUTOMATIC, MULTIPLE, Shop


def test_refund_without_amount_gives_all_that_is_left_back() -> None:
    shop = Shop(1_000)
    payment = shop.authorize(300, AUTOMATIC)
    shop.refund(payment, 100)

    refund = shop.refund(payment)

    assert refund.amount == 200
    assert (shop.payer.posted, shop.settlement.posted) == (1_000, 0)


def test_refunds_in_parts_never_exceed_what_was_captured() -> None:
    shop = Shop()
    payment = shop.authorize(300, AUTOMATIC)
    shop.refund(payment, 200)

    with pytest.raises(refusals.RefundExceedsCaptured) as refused:
        shop.refund(payment, 101)

    assert refused.value.metadata["refundable"] == "100"


def test_refund_of_everything_twice_is_refused() -> None:
    shop = Shop()
    payment = shop.authorize(300, AUTOMATIC)
    shop.refund(payment)

    with pytest.raises(refusals.RefundExceedsCaptured):
        shop.refund(payment)


@pytest.mark.parametrize("amount", [0, -1])
def test_refund_of_no_amount_is_refused(amount: int) -> None:
    shop = Shop()
    payment = shop.authorize(300, AUTOMATIC)

    with pytest.raises(refusals.AmountOutOfRange):
        shop.refund(payment, amount)


def test_refund_in_another_currency_is_refused() -> None:
    shop = Shop()
    payment = shop.authorize(300, AUTOMATIC)

    with pytest.raises(refusals.CurrencyMismatch):
        shop.refund(payment, 1, currency="USD")


def test_a_refund_that_the_merchant_cannot_cover_is_refused_and_moves_nothing() -> None:
    shop = Shop()
    payment = shop.authorize(300, AUTOMATIC)
    shop.transfer(shop.settlement_id, "world", 200)
    before = shop.settlement

    with pytest.raises(refusals.MerchantFundsInsufficient):
        shop.refund(payment, 101)

    assert shop.settlement == before


def test_the_fee_stays_with_the_operator_when_the_policy_keeps_it() -> None:
    shop = Shop(basis_points=1_000, policy=RefundPolicy.KEEP)
    payment = shop.authorize(100, AUTOMATIC)
    shop.top_up(10, shop.settlement_id)

    refund = shop.refund(payment)

    assert (refund.fee_refunded, shop.fees.posted) == (0, 10)


def test_the_fee_comes_back_in_proportion_and_covers_the_merchant_s_refund() -> None:
    shop = Shop(basis_points=1_000, policy=RefundPolicy.RETURN)
    payment = shop.authorize(100, AUTOMATIC)

    first = shop.refund(payment, 33)
    last = shop.refund(payment)

    assert (first.fee_refunded, last.fee_refunded) == (3, 7)
    assert (shop.fees.posted, shop.settlement.posted) == (0, 0)


def test_a_fee_returned_before_a_later_capture_counts_against_the_grown_fee() -> None:
    shop = Shop(basis_points=1_000, policy=RefundPolicy.RETURN)
    payment = shop.authorize(200, MULTIPLE)
    shop.capture(payment, 100)
    shop.refund(payment)
    shop.capture(payment, 100)

    partly = shop.refund(payment, 50)
    wholly = shop.refund(payment)

    assert (partly.fee_refunded, wholly.fee_refunded) == (5, 5)
    assert shop.payment(payment).fee == shop.payment(payment).fee_refunded == 20


def test_a_fixed_fee_returned_once_is_not_returned_again_after_another_capture() -> None:
    shop = Shop(fixed=10, policy=RefundPolicy.RETURN)
    payment = shop.authorize(200, MULTIPLE)
    shop.capture(payment, 100)
    shop.refund(payment)
    shop.capture(payment, 100)

    refund = shop.refund(payment, 50)

    assert refund.fee_refunded == 0
    assert shop.payment(payment).fee_refunded == 10


def test_a_fee_that_was_paid_out_already_cannot_be_returned() -> None:
    shop = Shop(basis_points=1_000, policy=RefundPolicy.RETURN)
    payment = shop.authorize(100, AUTOMATIC)
    shop.transfer("fees", "world", 10)

    with pytest.raises(refusals.MerchantFundsInsufficient) as refused:
        shop.refund(payment)

    assert refused.value.metadata["account_id"] == shop.fees.id


def test_a_payer_s_balance_beyond_the_limit_is_refused() -> None:
    shop = Shop(100)
    payment = shop.authorize(100, AUTOMATIC)
    shop.ledger.fill(shop.payer_id, LIMIT)

    with pytest.raises(refusals.BalanceLimit):
        shop.refund(payment, 1)


@pytest.mark.parametrize("whose", ["payer_id", "settlement_id"])
def test_no_refund_reaches_or_leaves_a_frozen_account(whose: str) -> None:
    shop = Shop()
    payment = shop.authorize(100, AUTOMATIC)
    shop.change_state(getattr(shop, whose), State.FROZEN)

    with pytest.raises(refusals.AccountFrozen):
        shop.refund(payment)


def test_no_refund_reaches_a_closed_account() -> None:
    shop = Shop(100)
    payment = shop.authorize(100, AUTOMATIC)
    shop.change_state(shop.payer_id, State.CLOSED)

    with pytest.raises(refusals.AccountClosed):
        shop.refund(payment)
