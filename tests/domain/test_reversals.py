"""Undoing an authorization whose answer never came: before, and after the original."""

import pytest

from processor.domain import refusals
from processor.domain.accounts import State as AccountState
from processor.domain.payments import DeclineReason, Reversal, State
from tests.domain.shop import AUTOMATIC, MANUAL, MULTIPLE, Shop


def test_reversal_before_its_original_leaves_a_tombstone_that_declines_it() -> None:
    shop = Shop(1_000)

    answer = shop.reverse("original")
    late = shop.authorize(request_id="original")

    assert (answer.reversal, answer.payment) == (Reversal.NOT_ARRIVED, None)
    assert (late.state, late.decline_reason) == (State.DECLINED, DeclineReason.REVERSED)
    assert shop.available == 1_000


def test_a_second_reversal_before_the_original_changes_nothing_more() -> None:
    shop = Shop()
    shop.reverse("original")
    events = list(shop.ledger.events)

    answer = shop.reverse("original")

    assert (answer.reversal, shop.ledger.events) == (Reversal.NOT_ARRIVED, events)


def test_reversal_of_an_authorization_releases_its_hold() -> None:
    shop = Shop(1_000)
    shop.authorize(300, MANUAL, request_id="original")

    answer = shop.reverse("original")

    assert answer.reversal == Reversal.VOIDED
    assert shop.available == 1_000


def test_reversal_of_a_capture_gives_the_money_back() -> None:
    shop = Shop(1_000)
    payment = shop.authorize(300, AUTOMATIC, request_id="original")
    shop.refund(payment, 100)

    answer = shop.reverse("original")

    assert answer.reversal == Reversal.REFUNDED
    assert answer.refund is not None
    assert answer.refund.amount == 200
    assert shop.available == 1_000


def test_reversal_of_a_partly_captured_payment_refunds_and_releases_in_one_decision() -> None:
    shop = Shop(1_000)
    payment = shop.authorize(300, MULTIPLE, request_id="original")
    shop.capture(payment, 100)
    before = shop.payer.version

    answer = shop.reverse("original")

    assert answer.payment is not None
    assert (answer.reversal, answer.payment.state) == (Reversal.REFUNDED, State.CAPTURED)
    assert (answer.payment.version, shop.payer.version) == (4, before + 1)
    assert (shop.available, shop.payer.held) == (1_000, 0)


def test_reversal_of_a_partly_captured_and_wholly_refunded_payment_releases_the_rest() -> None:
    shop = Shop(1_000)
    payment = shop.authorize(300, MULTIPLE, request_id="original")
    shop.capture(payment, 100)
    shop.refund(payment)

    answer = shop.reverse("original")

    assert (answer.reversal, answer.refund, shop.available) == (Reversal.VOIDED, None, 1_000)


@pytest.mark.parametrize("ending", ["declined", "voided", "expired", "refunded"])
def test_reversal_of_what_moves_no_money_any_more_does_nothing(ending: str) -> None:
    shop = Shop(1_000)
    payment = shop.authorize(
        1_001 if ending == "declined" else 100,
        AUTOMATIC if ending == "refunded" else MANUAL,
        request_id="original",
        hold_seconds=60,
    )
    match ending:
        case "voided":
            shop.void(payment)
        case "refunded":
            shop.refund(payment)
        case "expired":
            shop.wait(60)
            shop.ledger.sweep()
    before = shop.payment(payment)

    answer = shop.reverse("original")

    assert (answer.reversal, answer.payment) == (Reversal.NOTHING_TO_REVERSE, before)
    assert not answer.declined


def test_a_second_reversal_with_its_own_request_id_moves_nothing() -> None:
    shop = Shop(1_000)
    shop.authorize(300, AUTOMATIC, request_id="original")
    shop.reverse("original")

    answer = shop.reverse("original")

    assert (answer.reversal, shop.available) == (Reversal.NOTHING_TO_REVERSE, 1_000)


def test_reversal_under_the_request_id_of_its_original_is_refused() -> None:
    with pytest.raises(refusals.RequestIdReused):
        Shop().reverse("original", request_id="original")


def test_reversal_of_another_kind_of_call_is_refused() -> None:
    shop = Shop()
    payment = shop.authorize(request_id="original")
    shop.capture(payment)
    captured = list(shop.ledger.keys)[-1][1]

    with pytest.raises(refusals.OriginalNotAPayment):
        shop.reverse(captured)


def test_reversal_of_a_transfer_is_refused() -> None:
    shop = Shop()
    topped_up = list(shop.ledger.keys)[-1][1]

    with pytest.raises(refusals.OriginalNotAPayment):
        shop.reverse(topped_up)


def test_reversal_that_names_another_payer_or_merchant_is_refused() -> None:
    shop = Shop()
    shop.authorize(request_id="original")
    other_payer, other_merchant = shop.open("bob").id, shop.create_merchant("bar").id

    with pytest.raises(refusals.PaymentUnknown):
        shop.reverse("original", payer_id=other_payer)
    with pytest.raises(refusals.PaymentUnknown):
        shop.reverse("original", merchant_id=other_merchant)


def test_reversal_for_an_unknown_payer_leaves_no_tombstone() -> None:
    shop = Shop()

    with pytest.raises(refusals.AccountUnknown):
        shop.reverse("original", payer_id="acc_eu_unknown")

    assert ("acme", "original") not in shop.ledger.keys


def test_a_reversal_that_cannot_refund_releases_nothing_either() -> None:
    shop = Shop(1_000)
    payment = shop.authorize(300, MULTIPLE, request_id="original")
    shop.capture(payment, 100)
    shop.transfer(shop.settlement_id, "world", 100)

    with pytest.raises(refusals.MerchantFundsInsufficient):
        shop.reverse("original")

    assert shop.payer.held == 200


def test_a_tombstone_outlives_a_refusal_of_the_late_original() -> None:
    shop = Shop()
    shop.reverse("original")
    shop.change_state(shop.payer_id, AccountState.FROZEN)
    with pytest.raises(refusals.AccountFrozen):
        shop.authorize(request_id="original")
    shop.change_state(shop.payer_id, AccountState.OPEN)

    late = shop.authorize(request_id="original")

    assert late.decline_reason == DeclineReason.REVERSED


def test_an_expired_hold_is_expired_and_not_reversed() -> None:
    shop = Shop(1_000)
    payment = shop.authorize(300, request_id="original", hold_seconds=60)
    shop.wait(60)

    answer = shop.reverse("original")

    assert answer.reversal == Reversal.NOTHING_TO_REVERSE
    assert shop.payment(payment).state == State.EXPIRED
