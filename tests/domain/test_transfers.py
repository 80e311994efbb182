"""Money between accounts outside of payments: top-ups, payouts, person to person."""

import pytest

from processor.domain import refusals
from processor.domain.accounts import LIMIT, Kind, State
from processor.domain.decide import Declined
from processor.domain.ids import ALPHABET, bucket_of_id
from processor.domain.payments import DeclineReason
from processor.domain.rules.checks import AMOUNT_MAX
from processor.domain.transfers import Reason, Transfer
from tests.domain.shop import AUTOMATIC, SERVICE, STRANGER, Shop


def test_a_transfer_names_both_sides_and_both_balances_after_it() -> None:
    shop = Shop(100)
    other_id = shop.open("bob").id

    transfer = shop.transfer(shop.payer_id, other_id, 30, by=SERVICE)

    assert isinstance(transfer, Transfer)
    assert (transfer.debit_account_id, transfer.credit_account_id) == (shop.payer_id, other_id)
    assert (transfer.debit_posted_after, transfer.credit_posted_after) == (70, 30)


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        ("world", "payer", Reason.TOP_UP),
        ("payer", "world", Reason.PAYOUT),
        ("fees", "world", Reason.PAYOUT),
        ("world", "fees", Reason.TOP_UP),
        ("payer", "settlement", Reason.PERSON_TO_PERSON),
        ("fees", "payer", Reason.PERSON_TO_PERSON),
    ],
)
def test_the_reason_of_a_transfer_follows_from_its_sides(
    source: str, destination: str, reason: Reason
) -> None:
    shop = Shop(200, fixed=10)
    shop.authorize(100, AUTOMATIC)
    names = {"payer": shop.payer_id, "settlement": shop.settlement_id}

    transfer = shop.transfer(names.get(source, source), names.get(destination, destination), 1)

    assert transfer.reason == reason


def test_a_transfer_without_funds_is_declined_and_leaves_no_row() -> None:
    shop = Shop(100)
    rows = list(shop.ledger.transfers)

    declined = shop.transfer(shop.payer_id, "world", 101)

    assert isinstance(declined, Declined)
    assert declined.decline_reason == DeclineReason.INSUFFICIENT_FUNDS
    assert shop.ledger.transfers == rows


def test_a_declined_transfer_opens_no_account() -> None:
    shop = Shop(100)

    shop.transfer("fees", shop.payer_id, 1)

    assert shop.own_id(Kind.FEES) not in shop.ledger.accounts


def test_held_money_cannot_be_transferred() -> None:
    shop = Shop(100)
    shop.authorize(60)

    declined = shop.transfer(shop.payer_id, "world", 41)

    assert isinstance(declined, Declined)


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_MAX + 1])
def test_an_amount_out_of_range_is_refused(amount: int) -> None:
    shop = Shop()

    with pytest.raises(refusals.AmountOutOfRange):
        shop.transfer("world", shop.payer_id, amount)


def test_a_transfer_to_the_same_account_is_refused() -> None:
    shop = Shop()

    with pytest.raises(refusals.AccountsEqual):
        shop.transfer(shop.payer_id, shop.payer_id, 1)


def test_an_alias_and_the_id_behind_it_are_the_same_account() -> None:
    shop = Shop()

    with pytest.raises(refusals.AccountsEqual):
        shop.transfer("world", shop.own_id(Kind.WORLD), 1)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_an_account_of_another_currency_is_refused(side: str) -> None:
    shop = Shop()
    yen_id = shop.open("bob", currency="JPY").id
    pair = (yen_id, shop.payer_id) if side == "source" else (shop.payer_id, yen_id)

    with pytest.raises(refusals.CurrencyMismatch) as refused:
        shop.transfer(*pair, 1)

    assert refused.value.metadata["account_id"] == yen_id


@pytest.mark.parametrize("alias", ["world", "fees"])
def test_an_alias_needs_the_operator(alias: str) -> None:
    shop = Shop()

    with pytest.raises(refusals.ScopeMissing):
        shop.transfer(alias, shop.payer_id, 1, by=SERVICE)
    with pytest.raises(refusals.ScopeMissing):
        shop.transfer(shop.payer_id, alias, 1, by=SERVICE)


def test_the_id_behind_an_alias_needs_the_operator_too() -> None:
    shop = Shop()

    with pytest.raises(refusals.ScopeMissing):
        shop.transfer(shop.own_id(Kind.WORLD), shop.payer_id, 1, by=SERVICE)


def test_another_tenant_s_account_is_as_unknown() -> None:
    shop = Shop()

    with pytest.raises(refusals.AccountUnknown):
        shop.transfer(shop.payer_id, "world", 1, by=STRANGER)


@pytest.mark.parametrize("state", [State.FROZEN, State.CLOSED])
def test_an_account_that_is_not_open_neither_gives_nor_gets(state: State) -> None:
    shop = Shop(100)
    shut_id = shop.open("bob").id
    shop.change_state(shut_id, state)

    for pair in ((shop.payer_id, shut_id), (shut_id, shop.payer_id)):
        with pytest.raises((refusals.AccountFrozen, refusals.AccountClosed)):
            shop.transfer(*pair, 1)


def test_a_balance_beyond_the_limit_is_refused() -> None:
    shop = Shop(1)
    shop.ledger.fill(shop.settlement_id, LIMIT)

    with pytest.raises(refusals.BalanceLimit):
        shop.transfer(shop.payer_id, shop.settlement_id, 1)


def test_the_world_s_balance_has_the_same_limit() -> None:
    shop = Shop(1)
    world = shop.ledger.accounts[shop.own_id(Kind.WORLD)]
    shop.ledger.accounts[world.id] = world._replace(posted=-LIMIT)

    with pytest.raises(refusals.BalanceLimit):
        shop.transfer("world", shop.payer_id, 1)


@pytest.mark.parametrize(
    ("source", "destination"), [("world", "payer"), ("payer", "world"), ("world", "fees")]
)
def test_a_transfer_s_id_carries_a_bucket_also_when_a_side_has_none(
    source: str, destination: str
) -> None:
    shop = Shop(100)
    names = {"payer": shop.payer_id}

    transfer = shop.transfer(names.get(source, source), names.get(destination, destination), 1)

    assert set(bucket_of_id(transfer.id)) <= set(ALPHABET)
    if "payer" in (source, destination):
        assert bucket_of_id(transfer.id) == bucket_of_id(shop.payer_id)
