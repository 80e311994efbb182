"""What one tenant has: accounts in every state, two merchants, payments in several states."""

import itertools
from dataclasses import dataclass

from google.protobuf import field_mask_pb2
from google.protobuf.message import Message

from tender.v1 import account_pb2, merchant_pb2, payment_pb2
from tender.v1.money_pb2 import Money
from tests.badinput.wire import Wire

FUNDS = 1_000_000
AMOUNT = 1_000
MANUAL = payment_pb2.CAPTURE_METHOD_MANUAL
MERCHANT_WALLET = account_pb2.Account.KIND_MERCHANT_WALLET
_numbers = itertools.count(1)


def unique(prefix: str = "r") -> str:
    """Return a request_id that nobody used."""
    return f"{prefix}-{next(_numbers)}"


def money(minor_units: int = AMOUNT, currency_code: str = "EUR") -> Money:
    return Money(minor_units=minor_units, currency_code=currency_code)


@dataclass(frozen=True)
class World:
    """Ids of one tenant. `paid_request` is the request_id of `captured`."""

    payer: str
    second: str
    poor: str
    yen: str
    frozen: str
    closed: str
    shop: str
    shop_wallet: str
    bar: str
    bar_wallet: str
    suspended: str
    authorized: str
    captured: str
    voided: str
    declined: str
    of_bar: str
    paid_request: str


class Builder:
    """Makes a world for the tenant of a key that may do everything."""

    def __init__(self, wire: Wire, key: str) -> None:
        self._wire = wire
        self._key = key

    async def build(self) -> World:
        payer, second = await self._account("payer", FUNDS), await self._account("second", FUNDS)
        poor, yen = await self._account("poor", 1), await self._account("yen", FUNDS, "JPY")
        frozen, closed = await self._account("frozen", FUNDS), await self._account("closed")
        for request in (
            account_pb2.FreezeAccountRequest(request_id=unique(), account_id=frozen),
            account_pb2.CloseAccountRequest(request_id=unique(), account_id=closed),
        ):
            await self._ask(request)
        shop, shop_wallet = await self._merchant("shop")
        bar, bar_wallet = await self._merchant("bar")
        suspended, _ = await self._merchant("suspended")
        await self._suspend(suspended)
        paid_request = unique("paid")
        captured = await self._pay(payer, shop, request_id=paid_request)
        authorized = await self._pay(payer, shop, capture_method=MANUAL)
        voided = await self._pay(payer, shop, capture_method=MANUAL)
        await self._ask(payment_pb2.VoidPaymentRequest(request_id=unique(), payment_id=voided))
        declined = await self._pay(poor, shop)
        of_bar = await self._pay(payer, bar, capture_method=MANUAL)
        return World(
            payer=payer,
            second=second,
            poor=poor,
            yen=yen,
            frozen=frozen,
            closed=closed,
            shop=shop,
            shop_wallet=shop_wallet,
            bar=bar,
            bar_wallet=bar_wallet,
            suspended=suspended,
            authorized=authorized,
            captured=captured,
            voided=voided,
            declined=declined,
            of_bar=of_bar,
            paid_request=paid_request,
        )

    async def _ask(self, request: Message) -> object:
        return await self._wire.ask(request, self._key)

    async def _account(
        self,
        user_id: str,
        funds: int = 0,
        currency_code: str = "EUR",
        kind: account_pb2.Account.Kind = account_pb2.Account.KIND_CONSUMER_WALLET,
    ) -> str:
        opened = await self._wire.ask(
            account_pb2.CreateAccountRequest(
                request_id=unique(), user_id=user_id, currency_code=currency_code, kind=kind
            ),
            self._key,
        )
        account_id: str = opened.account.id
        if funds:
            await self._ask(
                account_pb2.CreateTransferRequest(
                    request_id=unique(),
                    source_account_id="world",
                    destination_account_id=account_id,
                    amount=money(funds, currency_code),
                )
            )
        return account_id

    async def _merchant(self, reference: str) -> tuple[str, str]:
        wallet = await self._account(reference, kind=MERCHANT_WALLET)
        terms = merchant_pb2.SettlementTerms(currency_code="EUR", account_id=wallet)
        created = await self._wire.ask(
            merchant_pb2.CreateMerchantRequest(
                request_id=unique(), reference=reference, settlement_terms=[terms]
            ),
            self._key,
        )
        return created.merchant.id, wallet

    async def _suspend(self, merchant_id: str) -> None:
        await self._ask(
            merchant_pb2.UpdateMerchantRequest(
                request_id=unique(),
                merchant=merchant_pb2.Merchant(
                    id=merchant_id, state=merchant_pb2.Merchant.STATE_SUSPENDED
                ),
                update_mask=field_mask_pb2.FieldMask(paths=["state"]),
            )
        )

    async def _pay(
        self,
        payer: str,
        merchant: str,
        *,
        request_id: str = "",
        capture_method: payment_pb2.CaptureMethod = payment_pb2.CAPTURE_METHOD_AUTOMATIC,
    ) -> str:
        paid = await self._wire.ask(
            payment_pb2.AuthorizePaymentRequest(
                request_id=request_id or unique(),
                payer_account_id=payer,
                merchant_id=merchant,
                amount=money(),
                capture_method=capture_method,
            ),
            self._key,
        )
        payment_id: str = paid.payment.id
        return payment_id
