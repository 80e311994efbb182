"""Opening accounts, freezing, unfreezing and closing them."""

import pytest

from processor.domain import refusals
from processor.domain.accounts import Kind, State
from processor.domain.ids import bucket_of_id, bucket_of_owner
from processor.domain.rules.accounts import FROM
from processor.domain.rules.checks import AMOUNT_MAX
from tests.domain.ledger import REGION
from tests.domain.shop import AUTOMATIC, OPERATOR, SERVICE, STRANGER, Shop


def test_a_new_account_is_open_and_empty_in_its_owner_s_bucket() -> None:
    account = Shop(0).open("bob")

    assert (account.state, account.posted, account.held, account.version) == (State.OPEN, 0, 0, 1)
    assert bucket_of_id(account.id) == bucket_of_owner(REGION, "bob")


def test_an_overdraft_needs_the_operator() -> None:
    shop = Shop(0)

    with pytest.raises(refusals.ScopeMissing):
        shop.open("bob", floor=-1, by=SERVICE)

    assert shop.open("bob", floor=-1, by=OPERATOR).floor == -1


@pytest.mark.parametrize("floor", [1, -AMOUNT_MAX - 1])
def test_a_floor_above_zero_or_too_low_is_refused(floor: int) -> None:
    with pytest.raises(refusals.AmountOutOfRange):
        Shop(0).open("bob", floor=floor)


@pytest.mark.parametrize("kind", [kind for kind in Kind if "WALLET" not in kind])
def test_only_wallets_are_opened_on_request(kind: Kind) -> None:
    with pytest.raises(AssertionError):
        Shop(0).open("bob", kind)


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_an_account_s_state_changes_only_as_the_table_says(before: State, after: State) -> None:
    shop = Shop(0)
    account_id = shop.open("bob").id
    if before is not State.OPEN:
        shop.change_state(account_id, before)

    if FROM[after] is before:
        assert shop.change_state(account_id, after).state == after
        return

    with pytest.raises(refusals.AccountState) as refused:
        shop.change_state(account_id, after)
    assert refused.value.metadata["state"] == before


def test_an_account_with_money_is_not_closed() -> None:
    shop = Shop(1)

    with pytest.raises(refusals.AccountNotEmpty):
        shop.change_state(shop.payer_id, State.CLOSED)


def test_an_account_with_a_hold_is_not_closed() -> None:
    shop = Shop(0)
    payer_id = shop.open("overdrawn", floor=-100).id
    shop.authorize(100, payer_id=payer_id)

    with pytest.raises(refusals.AccountNotEmpty):
        shop.change_state(payer_id, State.CLOSED)


def test_the_tenant_s_own_accounts_are_never_closed() -> None:
    shop = Shop(fixed=1)
    shop.authorize(100, AUTOMATIC)
    shop.transfer("fees", "world", 1)

    with pytest.raises(refusals.AccountState):
        shop.change_state(shop.fees.id, State.CLOSED)


@pytest.mark.parametrize("whose", ["payer_id", "settlement_id"])
@pytest.mark.parametrize("state", [State.FROZEN, State.CLOSED])
def test_no_payment_is_authorized_on_an_account_that_is_not_open(whose: str, state: State) -> None:
    shop = Shop(0)
    shop.change_state(getattr(shop, whose), state)

    with pytest.raises((refusals.AccountFrozen, refusals.AccountClosed)) as refused:
        shop.authorize()

    assert refused.value.reason == f"ACCOUNT_{state}"


@pytest.mark.parametrize("whose", ["payer_id", "settlement_id"])
def test_no_capture_touches_a_frozen_account(whose: str) -> None:
    shop = Shop()
    payment = shop.authorize()
    shop.change_state(getattr(shop, whose), State.FROZEN)

    with pytest.raises(refusals.AccountFrozen):
        shop.capture(payment)


def test_no_fee_reaches_a_frozen_fees_account() -> None:
    shop = Shop(fixed=1)
    shop.authorize(100, AUTOMATIC)
    payment = shop.authorize(100)
    shop.change_state(shop.fees.id, State.FROZEN)

    with pytest.raises(refusals.AccountFrozen) as refused:
        shop.capture(payment)

    assert refused.value.metadata["account_id"] == shop.fees.id


def test_a_void_still_releases_the_hold_of_a_frozen_account() -> None:
    shop = Shop()
    payment = shop.authorize()
    shop.change_state(shop.payer_id, State.FROZEN)

    shop.void(payment)

    assert shop.payer.held == 0


def test_the_fees_account_opens_with_the_first_fee_and_not_before() -> None:
    shop = Shop(fixed=1)
    payment = shop.authorize(100)
    known_before = shop.own_id(Kind.FEES) in shop.ledger.accounts

    shop.capture(payment)

    assert not known_before
    assert (shop.fees.version, shop.fees.floor, shop.fees.user_id) == (1, 0, "")
    assert ("account_opened", shop.fees.id, 1) in shop.ledger.events


def test_a_payment_without_fee_opens_no_fees_account() -> None:
    shop = Shop()

    shop.authorize(100, AUTOMATIC)

    assert shop.own_id(Kind.FEES) not in shop.ledger.accounts


def test_the_world_has_no_floor() -> None:
    shop = Shop(1_000)

    world = shop.ledger.accounts[shop.own_id(Kind.WORLD)]

    assert (world.posted, world.floor) == (-1_000, None)


def test_another_tenant_s_account_is_as_unknown() -> None:
    shop = Shop()

    with pytest.raises(refusals.AccountUnknown):
        shop.change_state(shop.payer_id, State.FROZEN, by=STRANGER)
