"""Who may do what: another tenant or merchant is told that what it names does not exist."""

from collections.abc import Callable

import pytest

from processor.domain import refusals
from processor.domain.accounts import Kind, State
from processor.domain.commands import Principal
from tests.domain.shop import SERVICE, STRANGER, TENANT, Shop

Ask = Callable[[Shop, Principal], object]

ON_A_PAYMENT: dict[str, Ask] = {
    "capture": lambda shop, by: shop.capture(shop.authorize(), by=by),
    "void": lambda shop, by: shop.void(shop.authorize(), by=by),
    "refund": lambda shop, by: shop.refund(shop.capture(shop.authorize()), by=by),
}
OPERATOR_ONLY: dict[str, Ask] = {
    "freeze": lambda shop, by: shop.change_state(shop.payer_id, State.FROZEN, by=by),
    "create merchant": lambda shop, by: shop.create_merchant("bar", by=by),
    "update merchant": lambda shop, by: shop.update_merchant(name="bar", by=by),
}
NOT_FOR_MERCHANTS: dict[str, Ask] = OPERATOR_ONLY | {
    "open account": lambda shop, by: shop.open("bob", by=by),
    "transfer": lambda shop, by: shop.transfer(shop.settlement_id, shop.payer_id, 1, by=by),
}


@pytest.mark.parametrize("ask", ON_A_PAYMENT.values(), ids=ON_A_PAYMENT)
def test_another_tenant_s_payment_is_as_unknown(ask: Ask) -> None:
    with pytest.raises(refusals.PaymentUnknown):
        ask(Shop(), STRANGER)


@pytest.mark.parametrize("ask", ON_A_PAYMENT.values(), ids=ON_A_PAYMENT)
def test_another_merchant_s_payment_is_as_unknown(ask: Ask) -> None:
    shop = Shop()
    other = Principal(TENANT, shop.create_merchant("bar").id, False)

    with pytest.raises(refusals.PaymentUnknown):
        ask(shop, other)


@pytest.mark.parametrize("ask", ON_A_PAYMENT.values(), ids=ON_A_PAYMENT)
def test_a_merchant_works_on_its_own_payments(ask: Ask) -> None:
    shop = Shop()

    ask(shop, Principal(TENANT, shop.merchant_id, False))


def test_a_merchant_authorizes_and_reverses_only_for_itself() -> None:
    shop = Shop()
    other = Principal(TENANT, shop.create_merchant("bar").id, False)

    with pytest.raises(refusals.MerchantUnknown):
        shop.authorize(by=other)
    with pytest.raises(refusals.MerchantUnknown):
        shop.reverse("original", by=other)


def test_another_tenant_s_payer_is_as_unknown() -> None:
    shop = Shop()
    foreign_id = shop.open("spy", by=STRANGER).id

    with pytest.raises(refusals.AccountUnknown):
        shop.authorize(payer_id=foreign_id)


def test_another_tenant_s_merchant_is_as_unknown() -> None:
    shop = Shop()
    account_id = shop.open("spy", Kind.CONSUMER_WALLET, by=STRANGER).id

    with pytest.raises(refusals.MerchantUnknown):
        shop.authorize(payer_id=account_id, by=STRANGER)


def test_another_tenant_s_request_ids_are_its_own() -> None:
    shop = Shop()
    payer_id = shop.open("spy", by=STRANGER).id
    shop.authorize(request_id="original")

    answer = shop.reverse("original", payer_id=payer_id, by=STRANGER)

    assert answer.reversal == "NOT_ARRIVED"
    assert shop.payer.held == 100


@pytest.mark.parametrize("ask", OPERATOR_ONLY.values(), ids=OPERATOR_ONLY)
def test_what_needs_the_operator_is_refused_to_a_service(ask: Ask) -> None:
    with pytest.raises(refusals.ScopeMissing) as refused:
        ask(Shop(), SERVICE)

    assert refused.value.metadata == {"scope": "operator"}


@pytest.mark.parametrize("ask", NOT_FOR_MERCHANTS.values(), ids=NOT_FOR_MERCHANTS)
@pytest.mark.parametrize("operator", [False, True])
def test_a_merchant_s_key_changes_nothing_but_payments(ask: Ask, operator: bool) -> None:
    shop = Shop()

    with pytest.raises(refusals.ScopeMissing):
        ask(shop, Principal(TENANT, shop.merchant_id, operator))
