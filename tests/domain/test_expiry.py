"""Holds that run out."""

import pytest

from processor.domain import refusals
from processor.domain.accounts import State as AccountState
from processor.domain.payments import HOLD_SECONDS_DEFAULT, State
from tests.domain.shop import AUTOMATIC, MANUAL, MULTIPLE, Shop


def test_expired_funds_can_be_spent_by_the_very_next_command() -> None:
    shop = Shop(100)
    held = shop.authorize(100, MANUAL, hold_seconds=60)
    shop.wait(60)

    payment = shop.authorize(100, AUTOMATIC)

    assert payment.state == State.CAPTURED
    assert shop.payment(held).state == State.EXPIRED


def test_a_hold_lasts_until_the_last_microsecond() -> None:
    shop = Shop(100)
    held = shop.authorize(100, MANUAL, hold_seconds=60)
    shop.wait(60)
    shop.ledger.now -= 1

    shop.capture(held)

    assert shop.payment(held).state == State.CAPTURED


def test_a_hold_lasts_seven_days_unless_said_otherwise() -> None:
    shop = Shop()

    payment = shop.authorize()

    assert payment.hold_expires_at == shop.ledger.now + HOLD_SECONDS_DEFAULT * 1_000_000


def test_a_hold_expires_once() -> None:
    shop = Shop(100)
    payment = shop.authorize(100, hold_seconds=60)
    shop.wait(60)

    shop.ledger.sweep()
    version = shop.payment(payment).version
    shop.ledger.sweep()

    assert (shop.payment(payment).version, version) == (2, 2)
    assert (shop.available, shop.payer.held) == (100, 0)


def test_several_holds_expire_in_one_step_of_the_account_s_version() -> None:
    shop = Shop(100)
    for _ in range(5):
        shop.authorize(20, hold_seconds=60)
    before = shop.payer.version
    shop.wait(60)

    shop.ledger.sweep()

    assert (shop.payer.version, shop.payer.held) == (before + 1, 0)


def test_capture_after_expiry_is_refused_although_nobody_swept() -> None:
    shop = Shop()
    payment = shop.authorize(hold_seconds=60)
    shop.wait(60)

    with pytest.raises(refusals.PaymentState) as refused:
        shop.capture(payment)

    assert refused.value.metadata["state"] == State.EXPIRED


def test_expiry_after_a_partial_capture_keeps_what_was_captured() -> None:
    shop = Shop(1_000)
    payment = shop.authorize(300, MULTIPLE, hold_seconds=60)
    shop.capture(payment, 100)
    shop.wait(60)

    shop.ledger.sweep()

    after = shop.payment(payment)
    assert (after.state, after.captured, after.capturable) == (State.CAPTURED, 100, 0)
    assert shop.available == 900


def test_a_frozen_account_s_holds_still_expire() -> None:
    shop = Shop()
    shop.authorize(hold_seconds=60)
    shop.change_state(shop.payer_id, AccountState.FROZEN)
    shop.wait(60)

    shop.ledger.sweep()

    assert shop.payer.held == 0


def test_a_transfer_may_spend_what_an_expired_hold_frees() -> None:
    shop = Shop(100)
    shop.authorize(100, hold_seconds=60)
    shop.wait(60)

    shop.transfer(shop.payer_id, "world", 100)

    assert shop.payer.posted == 0


def test_an_account_whose_last_hold_has_expired_can_be_closed() -> None:
    shop = Shop(0)
    payer_id = shop.open("overdrawn", floor=-100).id
    shop.authorize(payer_id=payer_id, hold_seconds=60)
    shop.wait(60)

    account = shop.change_state(payer_id, AccountState.CLOSED)

    assert account.state == AccountState.CLOSED
