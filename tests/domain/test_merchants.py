"""Creating merchants and changing them."""

import pytest

from processor.domain import refusals
from processor.domain.accounts import Kind
from processor.domain.merchants import State
from tests.domain.shop import STRANGER, Shop


def test_a_new_merchant_is_active_under_its_terms() -> None:
    shop = Shop()

    merchant = shop.create_merchant("bar", shop.terms(basis_points=50, fixed=2))

    terms = merchant.terms("EUR")
    assert terms is not None
    assert (merchant.state, merchant.version) == (State.ACTIVE, 1)
    assert (terms.account_id, terms.fee_schedule.basis_points) == (shop.settlement_id, 50)


def test_a_reference_belongs_to_one_merchant_of_the_tenant() -> None:
    shop = Shop()

    with pytest.raises(refusals.MerchantReferenceTaken) as refused:
        shop.create_merchant("cafe")

    assert refused.value.metadata["merchant_id"] == shop.merchant_id


def test_another_tenant_may_use_the_same_reference() -> None:
    merchant = Shop().create_merchant("cafe", by=STRANGER)

    assert merchant.tenant_id == STRANGER.tenant_id


def test_an_update_changes_what_it_names_and_nothing_else() -> None:
    shop = Shop()
    before = shop.ledger.merchants[shop.merchant_id]
    shop.wait(1)

    after = shop.update_merchant(name="Café")

    assert after == before._replace(
        display_name="Café", version=2, updated_at=before.updated_at + 1_000_000
    )


def test_terms_in_another_currency_than_the_account_s_are_refused() -> None:
    shop = Shop()

    with pytest.raises(refusals.CurrencyMismatch):
        shop.update_merchant(terms=(shop.terms(currency="JPY"),))


@pytest.mark.parametrize("kind", [Kind.CONSUMER_WALLET, Kind.WORLD])
def test_money_settles_only_on_a_merchant_wallet(kind: Kind) -> None:
    shop = Shop()
    account_id = shop.payer_id if kind is Kind.CONSUMER_WALLET else shop.own_id(kind)

    with pytest.raises(refusals.AccountUnknown):
        shop.create_merchant("bar", shop.terms(account_id))


def test_another_tenant_s_account_is_as_unknown() -> None:
    shop = Shop()

    with pytest.raises(refusals.AccountUnknown):
        shop.create_merchant("bar", shop.terms(), by=STRANGER)


def test_another_tenant_s_merchant_is_as_unknown() -> None:
    shop = Shop()

    with pytest.raises(refusals.MerchantUnknown):
        shop.update_merchant(name="mine", by=STRANGER)
