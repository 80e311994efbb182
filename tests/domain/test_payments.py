"""Authorizing, capturing and voiding."""

import pytest

from processor.domain import refusals
from processor.domain.accounts import LIMIT, OPEN_HOLDS_MAX, Kind
from processor.domain.payments import DeclineReason, State
from processor.domain.rules.checks import AMOUNT_MAX
from tests.domain.shop import AUTOMATIC, MANUAL, MULTIPLE, Shop


def test_authorization_holds_and_moves_nothing() -> None:
    shop = Shop(1_000)

    payment = shop.authorize(300)

    assert payment.state == State.AUTHORIZED
    assert (shop.payer.posted, shop.payer.held) == (1_000, 300)
    assert shop.settlement.posted == 0


def test_automatic_capture_moves_at_once_and_holds_nothing() -> None:
    shop = Shop(1_000, basis_points=100, fixed=5)

    payment = shop.authorize(300, AUTOMATIC)

    assert (payment.state, payment.version) == (State.CAPTURED, 1)
    assert payment.hold_expires_at is None
    assert (shop.payer.posted, shop.payer.held) == (700, 0)
    assert (shop.settlement.posted, shop.fees.posted) == (292, 8)


def test_authorization_of_more_than_is_available_is_declined_and_only_listed() -> None:
    shop = Shop(1_000)
    shop.authorize(600)
    before = shop.payer

    payment = shop.authorize(401)

    assert payment.state == State.DECLINED
    assert payment.decline_reason == DeclineReason.INSUFFICIENT_FUNDS
    assert shop.payer == before._replace(
        version=before.version + 1, last_payment_id=payment.id, updated_at=payment.created_at
    )


def test_all_that_is_available_can_be_spent() -> None:
    shop = Shop(1_000)

    payment = shop.authorize(1_000, AUTOMATIC)

    assert payment.state == State.CAPTURED
    assert shop.available == 0


def test_an_overdraft_can_be_spent_to_its_floor_and_no_further() -> None:
    shop = Shop()
    payer_id = shop.open("overdrawn", floor=-50).id

    taken = shop.authorize(50, AUTOMATIC, payer_id=payer_id)
    declined = shop.authorize(1, AUTOMATIC, payer_id=payer_id)

    assert (taken.state, declined.state) == (State.CAPTURED, State.DECLINED)


def test_a_risk_verdict_declines() -> None:
    payment = Shop().authorize(risk_denied=True)

    assert payment.decline_reason == DeclineReason.RISK_REFUSED


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_MAX + 1])
def test_an_amount_out_of_range_is_refused(amount: int) -> None:
    with pytest.raises(refusals.AmountOutOfRange):
        Shop().authorize(amount)


def test_another_currency_than_the_account_s_is_refused() -> None:
    with pytest.raises(refusals.CurrencyMismatch):
        Shop().authorize(currency="USD")


def test_a_merchant_without_terms_for_the_currency_is_refused() -> None:
    shop = Shop()
    payer_id = shop.open("traveller", currency="JPY").id

    with pytest.raises(refusals.SettlementAccountMissing):
        shop.authorize(payer_id=payer_id, currency="JPY")


def test_a_suspended_merchant_takes_no_new_payment() -> None:
    shop = Shop()
    shop.update_merchant(state="SUSPENDED")

    with pytest.raises(refusals.MerchantSuspended):
        shop.authorize()


def test_a_suspended_merchant_may_capture_void_and_refund_earlier_payments() -> None:
    shop = Shop()
    first, second = shop.authorize(), shop.authorize()
    shop.update_merchant(state="SUSPENDED")

    shop.void(first)
    shop.capture(second)
    shop.refund(second)

    assert shop.payment(second).refunded == 100


def test_a_merchant_cannot_pay_itself_from_the_account_that_is_credited() -> None:
    shop = Shop()

    with pytest.raises(refusals.AccountsEqual):
        shop.authorize(payer_id=shop.settlement_id)


@pytest.mark.parametrize("kind", [Kind.WORLD, Kind.FEES])
def test_the_tenant_s_own_accounts_pay_no_merchant(kind: Kind) -> None:
    shop = Shop(fixed=1)
    shop.authorize(100, AUTOMATIC)

    with pytest.raises(refusals.AccountUnknown):
        shop.authorize(payer_id=shop.own_id(kind))


def test_a_payment_keeps_the_terms_under_which_it_was_authorized() -> None:
    shop = Shop(basis_points=100)
    payment = shop.authorize(1_000)
    other_id = shop.open("cafe", Kind.MERCHANT_WALLET).id
    shop.update_merchant(terms=(shop.terms(other_id, basis_points=5_000),))

    after = shop.capture(payment)

    assert (after.fee, after.settlement_account_id) == (10, shop.settlement_id)


def test_manual_capture_of_a_part_releases_the_rest() -> None:
    shop = Shop(1_000)
    payment = shop.authorize(300, MANUAL)

    after = shop.capture(payment, 100)

    assert (after.state, after.captured, after.capturable) == (State.CAPTURED, 100, 0)
    assert shop.available == 900


def test_manual_capture_happens_once() -> None:
    shop = Shop()
    payment = shop.authorize(300, MANUAL)
    shop.capture(payment, 100)

    with pytest.raises(refusals.PaymentState):
        shop.capture(payment, 100)


def test_multiple_captures_keep_the_rest_held_until_the_last() -> None:
    shop = Shop(1_000)
    payment = shop.authorize(300, MULTIPLE)

    first = shop.capture(payment, 100)
    held_between = shop.payer.held
    last = shop.capture(payment, 50, final=True)

    assert (first.state, held_between) == (State.PARTIALLY_CAPTURED, 200)
    assert (last.state, last.captured, shop.payer.held) == (State.CAPTURED, 150, 0)


def test_the_capture_that_takes_the_last_unit_is_final_by_itself() -> None:
    shop = Shop()
    payment = shop.authorize(300, MULTIPLE)
    shop.capture(payment, 100)

    after = shop.capture(payment, 200)

    assert after.state == State.CAPTURED


def test_capture_without_amount_takes_all_that_is_left() -> None:
    shop = Shop()
    payment = shop.authorize(300, MULTIPLE)
    shop.capture(payment, 100)

    after = shop.capture(payment)

    assert after.captured == 300


def test_capture_of_more_than_is_capturable_is_refused() -> None:
    shop = Shop()
    payment = shop.authorize(300, MULTIPLE)
    shop.capture(payment, 100)

    with pytest.raises(refusals.CaptureExceedsCapturable) as refused:
        shop.capture(payment, 201)

    assert refused.value.metadata["capturable"] == "200"


@pytest.mark.parametrize("amount", [0, -1])
def test_capture_of_no_amount_is_refused(amount: int) -> None:
    shop = Shop()
    payment = shop.authorize()

    with pytest.raises(refusals.AmountOutOfRange):
        shop.capture(payment, amount)


def test_capture_in_another_currency_is_refused() -> None:
    shop = Shop()
    payment = shop.authorize()

    with pytest.raises(refusals.CurrencyMismatch):
        shop.capture(payment, 1, currency="USD")


def test_void_releases_the_hold() -> None:
    shop = Shop(1_000)
    payment = shop.authorize(300)

    after = shop.void(payment)

    assert (after.state, shop.available) == (State.VOIDED, 1_000)


def test_void_after_a_partial_capture_is_refused() -> None:
    shop = Shop()
    payment = shop.authorize(300, MULTIPLE)
    shop.capture(payment, 100)

    with pytest.raises(refusals.PaymentState) as refused:
        shop.void(payment)

    assert refused.value.metadata["state"] == State.PARTIALLY_CAPTURED


def test_a_merchant_s_balance_beyond_the_limit_is_refused() -> None:
    shop = Shop(1)
    shop.ledger.fill(shop.settlement_id, LIMIT)

    with pytest.raises(refusals.BalanceLimit) as refused:
        shop.authorize(1, AUTOMATIC)

    assert refused.value.metadata["account_id"] == shop.settlement_id


def test_a_balance_at_the_limit_is_allowed() -> None:
    shop = Shop(1)
    shop.ledger.fill(shop.settlement_id, LIMIT - 1)

    shop.authorize(1, AUTOMATIC)

    assert shop.settlement.posted == LIMIT


def test_more_open_holds_than_an_account_may_have_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop()
    monkeypatch.setattr(shop.ledger, "holds_count", lambda _: OPEN_HOLDS_MAX)

    with pytest.raises(refusals.HoldLimit):
        shop.authorize(1, MANUAL)


def test_the_limit_of_open_holds_is_no_limit_to_payments_that_hold_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop()
    monkeypatch.setattr(shop.ledger, "holds_count", lambda _: OPEN_HOLDS_MAX)

    payment = shop.authorize(1, AUTOMATIC)

    assert payment.state == State.CAPTURED
