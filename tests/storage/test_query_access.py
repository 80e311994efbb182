"""Who reads what: what is somebody else's is refused as if it were unknown."""

from typing import NamedTuple

import pytest
from google.protobuf.message import Message

from processor.domain.commands import Principal
from processor.domain.payments import Payment
from tender.v1 import (
    account_pb2,
    merchant_pb2,
    payment_pb2,
)
from tests.domain.shop import OPERATOR, STRANGER, TENANT, Shop
from tests.storage.office import Office, by_id, moment


class Foreign(NamedTuple):
    """A read of somebody else's, and how it is refused."""

    request: Message
    reason: str


def reads_of(shop: Shop, payment: Payment) -> list[Foreign]:
    past = moment(shop.ledger.now)
    return [
        Foreign(by_id(payment.id), "PAYMENT_UNKNOWN"),
        Foreign(
            payment_pb2.GetPaymentRequest(merchant_id=shop.merchant_id, request_id="order-1"),
            "PAYMENT_UNKNOWN",
        ),
        Foreign(merchant_pb2.GetMerchantRequest(merchant_id=shop.merchant_id), "MERCHANT_UNKNOWN"),
        Foreign(account_pb2.GetAccountRequest(account_id=shop.settlement_id), "ACCOUNT_UNKNOWN"),
        Foreign(account_pb2.ListTransfersRequest(account_id=shop.settlement_id), "ACCOUNT_UNKNOWN"),
        Foreign(
            account_pb2.GetBalanceAtRequest(account_id=shop.settlement_id, time=past),
            "ACCOUNT_UNKNOWN",
        ),
    ]


async def test_what_is_another_tenant_s_or_merchant_s_is_refused_as_if_unknown(
    office: Office,
) -> None:
    shop = office.shop
    payment = shop.authorize(request_id="order-1")
    other = Principal(TENANT, shop.create_merchant("bar").id, False)
    await office.save()

    for request, reason in reads_of(shop, payment):
        for principal in (STRANGER, other):
            assert (await office.refusal(request, principal)).reason == reason


async def test_a_merchant_reads_its_own(office: Office) -> None:
    shop = office.shop
    payment = shop.authorize(request_id="order-1")
    merchant = Principal(TENANT, shop.merchant_id, False)
    await office.save()

    for request, _ in reads_of(shop, payment):
        assert (await office.read(request, merchant)).WhichOneof("result") == "response"


@pytest.mark.parametrize("method", ["get", "list", "balance"])
async def test_a_merchant_does_not_see_its_payer_s_account(office: Office, method: str) -> None:
    shop = office.shop
    merchant = Principal(TENANT, shop.merchant_id, False)
    await office.save()
    requests: dict[str, Message] = {
        "get": account_pb2.GetAccountRequest(account_id=shop.payer_id),
        "list": account_pb2.ListTransfersRequest(account_id=shop.payer_id),
        "balance": account_pb2.GetBalanceAtRequest(
            account_id=shop.payer_id, time=moment(shop.ledger.now)
        ),
    }

    refusal = await office.refusal(requests[method], merchant)

    assert refusal.reason == "ACCOUNT_UNKNOWN"


async def test_filters_of_others_filter_everything_away(office: Office) -> None:
    shop = office.shop
    shop.authorize()
    other = Principal(TENANT, shop.create_merchant("bar").id, False)
    await office.save()

    asked = [
        (payment_pb2.ListPaymentsRequest(), STRANGER),
        (payment_pb2.ListPaymentsRequest(merchant_id=shop.merchant_id), STRANGER),
        (payment_pb2.ListPaymentsRequest(payer_account_id=shop.payer_id), STRANGER),
        (payment_pb2.ListPaymentsRequest(), other),
        (payment_pb2.ListPaymentsRequest(merchant_id=shop.merchant_id), other),
        (payment_pb2.ListPaymentsRequest(payer_account_id=shop.payer_id), other),
    ]

    for request, principal in asked:
        assert await office.all_payments(request, principal) == []


async def test_a_merchant_s_accounts_are_those_it_settles_on(office: Office) -> None:
    shop = office.shop
    merchant = Principal(TENANT, shop.merchant_id, False)
    await office.save()

    everybody = await office.accounts(account_pb2.ListAccountsRequest(user_id="cafe"))
    own = await office.accounts(account_pb2.ListAccountsRequest(), merchant)
    filtered = await office.accounts(account_pb2.ListAccountsRequest(user_id="ann"), merchant)

    assert (everybody, own, filtered) == ([shop.settlement_id], [shop.settlement_id], [])


async def test_a_tenant_s_accounts_are_listed_newest_first(office: Office) -> None:
    shop = office.shop
    shop.open("spy", by=STRANGER)
    await office.save()

    found = await office.accounts(account_pb2.ListAccountsRequest(), OPERATOR)

    assert found == sorted(
        (row.id for row in shop.ledger.accounts.values() if row.tenant_id == TENANT), reverse=True
    )
