"""Money between shards: debited first, credited once, never refused; refunds ask for an answer."""

import pytest

from processor.domain.accounts import Kind, State
from processor.domain.fees import RefundPolicy
from processor.domain.legs import Kind as LegKind
from processor.domain.payments import RefundState
from processor.domain.payments import State as PaymentState
from processor.domain.refusals import (
    AccountFrozen,
    AccountState,
    AccountUnknown,
    BucketElsewhere,
    Refused,
    RegionUnknown,
)
from processor.domain.transfers import Transfer
from tests.domain.shop import AUTOMATIC, MULTIPLE, OPERATOR, Shop
from tests.domain.street import Street


def fee_street(policy: RefundPolicy = RefundPolicy.RETURN) -> Street:
    return Street(funds=1_000, basis_points=1_000, fixed=5, policy=policy)


def buy(street: Street, amount: int = 100, **fields: object) -> object:
    """Pay on s1 for the merchant of s2."""
    return street["s1"].authorize(
        amount,
        AUTOMATIC,
        merchant_id=street["s2"].merchant_id,
        **fields,  # type: ignore[arg-type]
    )


def test_a_capture_debits_the_payer_at_once_and_credits_the_merchant_when_it_arrives() -> None:
    street = fee_street()

    payment = street["s1"].authorize(100, AUTOMATIC, merchant_id=street["s2"].merchant_id)

    assert payment.state == PaymentState.CAPTURED
    assert payment.fee == 15
    assert street["s1"].payer.posted == 900
    assert street["s1"].payer.last_payment_id == payment.id
    assert street["s2"].settlement.posted == 0
    street.carry_all()
    assert street["s2"].settlement.posted == 85
    assert street["s2"].fees.posted == 15
    assert street.clearing("s1", "s2").posted == 100  # type: ignore[union-attr]
    assert street.clearing("s2", "s1").posted == -100  # type: ignore[union-attr]


def test_captures_of_parts_add_up_to_the_fee_of_the_whole() -> None:
    street = fee_street()
    shop = street["s1"]
    payment = shop.authorize(100, MULTIPLE, merchant_id=street["s2"].merchant_id)

    for _ in range(3):
        shop.capture(payment, 33)
    shop.capture(payment, 1)
    street.carry_all()

    assert shop.payment(payment).fee == 15
    assert street["s2"].fees.posted == 15
    assert street["s2"].settlement.posted == 85


def test_a_leg_that_comes_again_has_no_second_effect() -> None:
    street = fee_street()
    buy(street)
    [leg] = street.waiting("s1", "s2")

    for _ in range(3):
        street["s2"].ledger.take(leg)

    assert street["s2"].settlement.posted == 85


def test_a_leg_after_a_gap_is_not_taken() -> None:
    street = fee_street()
    buy(street)
    buy(street)
    first, second = street.waiting("s1", "s2")

    street["s2"].ledger.take(second)
    assert street["s2"].settlement.posted == 0
    street["s2"].ledger.take(first)
    street["s2"].ledger.take(second)

    assert street["s2"].settlement.posted == 170


@pytest.mark.parametrize("state", [State.FROZEN, State.CLOSED])
def test_money_for_an_account_that_cannot_take_it_lies_in_suspense(state: State) -> None:
    street = fee_street()
    buy(street)
    street["s2"].change_state(street["s2"].settlement_id, state)

    street.carry_all()

    assert street["s2"].settlement.posted == 0
    assert street.suspense("s2") == 85
    assert street["s2"].fees.posted == 15
    assert street["s1"].ledger.suspended == {("s2", len(street["s1"].ledger.legs["s2"]))}
    assert "transfer_suspended" in {event.type for event in street["s2"].ledger.events}


def test_an_operator_moves_what_lies_in_suspense() -> None:
    street = fee_street()
    buy(street)
    shop = street["s2"]
    shop.change_state(shop.settlement_id, State.FROZEN)
    street.carry_all()
    shop.change_state(shop.settlement_id, State.OPEN)

    shop.transfer(shop.own_id(Kind.SUSPENSE), shop.settlement_id, 85)

    assert shop.settlement.posted == 85
    assert street.suspense("s2") == 0


def test_fees_that_are_frozen_leave_the_fee_in_suspense() -> None:
    street = fee_street()
    shop = street["s2"]
    shop.authorize(100, AUTOMATIC)
    shop.change_state(shop.own_id(Kind.FEES), State.FROZEN)
    buy(street)

    street.carry_all()

    assert shop.settlement.posted == 170
    assert street.suspense("s2") == 15


def test_a_transfer_to_another_shard_arrives_and_each_side_names_the_other() -> None:
    street = Street()
    payee = street["s2"].open("bob")

    sent = street["s1"].transfer(street["s1"].payer_id, payee.id, 70)
    street.carry_all()

    assert isinstance(sent, Transfer)
    assert street["s2"].ledger.accounts[payee.id].posted == 70
    assert street["s2"].ledger.taken["s1"][-1].remote_account_id == street["s1"].payer_id


def test_a_transfer_to_an_account_that_does_not_exist_lies_in_suspense() -> None:
    street = Street()
    unknown = street["s2"].payer_id[:-3] + "z" + street["s2"].payer_id[-2:]

    street["s1"].transfer(street["s1"].payer_id, unknown, 70)
    street.carry_all()

    assert street.suspense("s2") == 70


def test_a_transfer_of_another_currency_lies_in_suspense() -> None:
    street = Street()
    dollars = street["s2"].open("bob", currency="USD")

    street["s1"].transfer(street["s1"].payer_id, dollars.id, 70)
    street.carry_all()

    assert street["s2"].ledger.accounts[dollars.id].posted == 0
    assert street.suspense("s2") == 70


def test_a_transfer_without_funds_is_declined_and_sends_nothing() -> None:
    street = Street()

    declined = street["s1"].transfer(street["s1"].payer_id, street["s2"].payer_id, 5_000)

    assert not isinstance(declined, Transfer)
    assert not street.waiting("s1", "s2")


@pytest.mark.parametrize("name", [Kind.WORLD, Kind.FEES, Kind.SUSPENSE])
def test_nobody_sends_money_to_another_shard_s_own_accounts(name: Kind) -> None:
    street = Street()

    with pytest.raises(AccountUnknown):
        street["s1"].transfer(street["s1"].payer_id, street["s2"].own_id(name), 1)


def test_clearing_accounts_move_with_legs_alone() -> None:
    street = fee_street()
    buy(street)
    clearing = street.clearing("s1", "s2")
    assert clearing is not None

    with pytest.raises(AccountUnknown):
        street["s1"].transfer(clearing.id, street["s1"].payer_id, 1)
    with pytest.raises(AccountState):
        street["s1"].change_state(clearing.id, State.FROZEN)


def test_an_id_that_no_shard_has_is_refused() -> None:
    street = Street()
    shop = street["s1"]

    with pytest.raises(RegionUnknown):
        shop.transfer(shop.payer_id, shop.payer_id.replace("_eu_", "_mars_"), 1)


# Refunds.


def test_a_refund_is_pending_until_the_merchant_has_given_it() -> None:
    street = fee_street()
    payment = street["s1"].authorize(100, AUTOMATIC, merchant_id=street["s2"].merchant_id)
    street.carry_all()

    refund = street["s1"].refund(payment, 40)

    reserved = street["s1"].payment(payment)
    assert refund.state == RefundState.PENDING
    assert (reserved.refunded, reserved.refund_pending, reserved.refundable) == (0, 40, 60)
    assert street["s1"].payer.posted == 900
    street.carry_all()
    done = street["s1"].payment(payment)
    assert (done.refunded, done.refund_pending, done.fee_refunded) == (40, 0, 6)
    assert street["s1"].ledger.refunds[0].state == RefundState.SUCCEEDED
    assert street["s1"].payer.posted == 940
    assert street["s2"].settlement.posted == 51
    assert street["s2"].fees.posted == 9


def unable(shop: Shop, how: str) -> None:
    if how == "spent":
        shop.transfer(shop.settlement_id, "world", shop.settlement.posted)
    elif how == "fees spent":
        shop.transfer("fees", "world", shop.fees.posted)
    else:
        if how == State.CLOSED:
            shop.transfer(shop.settlement_id, "world", shop.settlement.posted)
        shop.change_state(shop.settlement_id, how)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("spent", "MERCHANT_FUNDS_INSUFFICIENT"),
        ("fees spent", "MERCHANT_FUNDS_INSUFFICIENT"),
        (State.FROZEN, "ACCOUNT_FROZEN"),
        (State.CLOSED, "ACCOUNT_CLOSED"),
    ],
)
def test_a_refund_that_the_merchant_cannot_give_fails_and_moves_nothing(
    how: str, reason: str
) -> None:
    street = fee_street()
    payment = street["s1"].authorize(100, AUTOMATIC, merchant_id=street["s2"].merchant_id)
    street.carry_all()
    unable(street["s2"], how)
    before = dict(street["s2"].ledger.accounts)

    street["s1"].refund(payment)
    street.carry_all()

    after = street["s1"].payment(payment)
    [refund] = street["s1"].ledger.refunds
    assert (refund.state, refund.failure_reason) == (RefundState.FAILED, reason)
    assert (after.refunded, after.refund_pending, after.fee_refunded) == (0, 0, 0)
    assert after.refundable == 100
    assert street["s2"].ledger.accounts == before
    assert street["s1"].ledger.events[-1].type == "refund_failed"


def test_refunds_at_once_never_take_more_than_was_captured_nor_more_than_the_fee() -> None:
    street = fee_street()
    payment = street["s1"].authorize(100, AUTOMATIC, merchant_id=street["s2"].merchant_id)

    for _ in range(20):
        street["s1"].refund(payment, 5)
    with pytest.raises(Refused):
        street["s1"].refund(payment, 1)
    street.carry_all()

    done = street["s1"].payment(payment)
    assert (done.refunded, done.refund_pending, done.fee_refunded) == (100, 0, 15)
    assert street["s2"].settlement.posted == street["s2"].fees.posted == 0


def test_a_refund_that_follows_one_that_failed_succeeds() -> None:
    street = fee_street()
    payment = street["s1"].authorize(100, AUTOMATIC, merchant_id=street["s2"].merchant_id)
    street.carry_all()
    street["s2"].change_state(street["s2"].settlement_id, State.FROZEN)
    street["s1"].refund(payment)
    street.carry_all()
    street["s2"].change_state(street["s2"].settlement_id, State.OPEN)

    street["s1"].refund(payment)
    street.carry_all()

    assert [one.state for one in street["s1"].ledger.refunds] == ["FAILED", "SUCCEEDED"]
    assert street["s1"].payer.posted == 1_000


def test_a_refund_for_a_payer_frozen_meanwhile_lies_in_suspense_and_is_done() -> None:
    street = fee_street()
    payment = street["s1"].authorize(100, AUTOMATIC, merchant_id=street["s2"].merchant_id)
    street.carry_all()
    street["s1"].refund(payment)
    street["s1"].change_state(street["s1"].payer_id, State.FROZEN)

    street.carry_all()

    assert street["s1"].ledger.refunds[0].state == RefundState.SUCCEEDED
    assert street.suspense("s1") == 100
    assert street["s2"].ledger.suspended


def test_a_refund_to_a_frozen_payer_is_refused_at_once() -> None:
    street = fee_street()
    payment = street["s1"].authorize(100, AUTOMATIC, merchant_id=street["s2"].merchant_id)
    street["s1"].change_state(street["s1"].payer_id, State.FROZEN)

    with pytest.raises(AccountFrozen):
        street["s1"].refund(payment)


def test_a_reversal_answers_with_a_pending_refund() -> None:
    street = fee_street()
    street["s1"].authorize(100, AUTOMATIC, merchant_id=street["s2"].merchant_id, request_id="first")

    answer = street["s1"].reverse("first", merchant_id=street["s2"].merchant_id)

    assert answer.reversal == "REFUNDED"
    assert answer.refund is not None
    assert answer.refund.state == RefundState.PENDING
    street.carry_all()
    assert street["s1"].payer.posted == 1_000


def test_a_hold_for_a_merchant_elsewhere_is_voided_here() -> None:
    street = fee_street()
    payment = street["s1"].authorize(100, merchant_id=street["s2"].merchant_id)
    before = len(street["s1"].ledger.all_legs())

    street["s1"].void(payment)

    assert street["s1"].available == 1_000
    assert len(street["s1"].ledger.all_legs()) == before


# Merchants.


def test_a_merchant_is_known_on_all_shards_as_it_was_last() -> None:
    street = Street(3)
    shop = street["s2"]

    shop.update_merchant(name="New name")
    shop.update_merchant(state="SUSPENDED")
    street.carry_all()

    copies = [one.ledger.merchants[shop.merchant_id] for one in street.shops.values()]
    assert copies == [copies[0]] * 3
    assert (copies[0].display_name, copies[0].state) == ("New name", "SUSPENDED")


def test_a_copy_of_a_merchant_that_is_older_changes_nothing() -> None:
    street = Street()
    street["s1"].update_merchant(name="New name")
    newest = street["s1"].ledger.merchants[street["s1"].merchant_id]
    street.carry_all()
    number = len(street["s1"].ledger.legs["s2"]) + 1

    old = street["s1"].ledger.legs["s2"][0]
    assert old.kind == LegKind.MERCHANT
    street["s2"].ledger.take(old._replace(number=number))

    assert street["s2"].ledger.merchants[newest.id] == newest


def test_a_copy_is_not_changed_where_it_is() -> None:
    street = Street()

    with pytest.raises(BucketElsewhere):
        street["s1"].update_merchant(street["s2"].merchant_id, name="stolen", by=OPERATOR)


def test_a_merchant_may_settle_on_another_shard() -> None:
    street = Street()
    shop, wallet = street["s1"], street["s2"].open("wallet", Kind.MERCHANT_WALLET)

    merchant = shop.create_merchant("far", shop.terms(wallet.id))
    shop.authorize(100, AUTOMATIC, merchant_id=merchant.id)
    street.carry_all()

    assert street["s2"].ledger.accounts[wallet.id].posted == 100


def test_a_leg_of_an_unknown_kind_takes_no_effect_and_is_not_skipped() -> None:
    street = fee_street()
    buy(street)
    [leg] = street.waiting("s1", "s2")

    with pytest.raises(ValueError, match="kind"):
        street["s2"].ledger.take(leg._replace(kind="FUTURE"))

    assert street.waiting("s1", "s2") == [leg]
