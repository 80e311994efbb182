"""Who asks for what in a seeded run: mostly sensible, now and then nonsense, some of it again."""

import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from google.protobuf import field_mask_pb2
from google.protobuf.message import Message

from tender.v1 import account_pb2, lane_pb2, merchant_pb2, payment_pb2
from tender.v1.money_pb2 import Money
from tests.lane.harness import METHODS, OPERATOR, SERVICE

NOBODY: Final = {
    "acc": "acc_eu_0000000000000000000001",
    "mer": "mer_eu_0000000000000000000001",
    "pay": "pay_eu_0000000000000000000001",
}
REPEATED_SHARE: Final = 0.08
CHANGED_SHARE: Final = 0.3
"""Of the requests that come again, those that come with something else in them."""

Kind = account_pb2.Account
Policy = merchant_pb2.FeeRefundPolicy


class Wish(NamedTuple):
    """A request, and on whose behalf."""

    request: Any
    principal: lane_pb2.Principal
    denied: bool


class Shoppers:
    """Knows what came of former wishes, so that later ones can build on them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._count = 0
        self._wallets: list[str] = []
        self._settlements: list[str] = []
        self._merchants: list[str] = []
        self._payments: list[str] = []
        self._asked: list[Wish] = []
        self._makers: dict[Callable[[], Message], int] = {
            self._account: 6,
            self._merchant: 4,
            self._top_up: 14,
            self._transfer: 6,
            self._authorize: 40,
            self._capture: 16,
            self._void: 5,
            self._refund: 12,
            self._reverse: 6,
            self._freeze: 1,
            self._unfreeze: 4,
            self._close: 1,
            self._update: 2,
        }

    def wish(self) -> Wish:
        """Return the next one."""
        chance = self._chance
        if self._asked and chance.random() < REPEATED_SHARE:
            return self._again(chance.choice(self._asked))
        [make] = chance.choices(list(self._makers), list(self._makers.values()))
        wish = Wish(make(), self._principal(), chance.random() < 0.02)
        self._asked.append(wish)
        return wish

    def learn(self, wish: Wish, response: bytes) -> None:
        """Take in what came of a wish."""
        if not response:
            return
        answer: Any = METHODS[type(wish.request)][1].FromString(response)
        match wish.request:
            case account_pb2.CreateAccountRequest():
                is_wallet = answer.account.kind == Kind.KIND_CONSUMER_WALLET
                (self._wallets if is_wallet else self._settlements).append(answer.account.id)
            case merchant_pb2.CreateMerchantRequest():
                self._merchants.append(answer.merchant.id)
            case payment_pb2.AuthorizePaymentRequest():
                self._payments.append(answer.payment.id)
            case _:
                pass

    def _again(self, wish: Wish) -> Wish:
        request = type(wish.request).FromString(wish.request.SerializeToString())
        if self._chance.random() < CHANGED_SHARE:
            if hasattr(request, "amount"):
                request.amount.minor_units += 1
            elif hasattr(request, "account_id"):
                request.account_id = self._one(self._wallets, "acc")
        return wish._replace(request=request)

    def _principal(self) -> lane_pb2.Principal:
        dice = self._chance.random()
        if dice < 0.02:
            return lane_pb2.Principal(tenant_id="other")
        if dice < 0.08:
            return lane_pb2.Principal(
                tenant_id="dev", merchant_id=self._one(self._merchants, "mer")
            )
        return OPERATOR if dice < 0.8 else SERVICE

    def _id(self) -> str:
        self._count += 1
        return f"r-{self._count}"

    def _one(self, known: list[str], prefix: str) -> str:
        is_known = known and self._chance.random() < 0.98
        return self._chance.choice(known) if is_known else NOBODY[prefix]

    def _late_one(self) -> str:
        """Return a payment, rather a new one than an old one."""
        return self._one(self._payments[-60:], "pay")

    def _amount(self, most: int) -> Money:
        currency = "EUR" if self._chance.random() < 0.97 else "JPY"
        return Money(currency_code=currency, minor_units=self._chance.randint(1, most))

    def _some(self, most: int) -> Money | None:
        return self._amount(most) if self._chance.random() < 0.5 else None

    def _account(self) -> Message:
        kinds = [Kind.KIND_UNSPECIFIED, Kind.KIND_CONSUMER_WALLET, Kind.KIND_MERCHANT_WALLET]
        kind = self._chance.choice(kinds)
        floor = -self._chance.randint(0, 500) if kind != Kind.KIND_MERCHANT_WALLET else 0
        return account_pb2.CreateAccountRequest(
            request_id=self._id(),
            user_id=self._chance.choice(["ada", "bob", "Zoë ☕"]),
            kind=kind,
            currency_code="EUR" if self._chance.random() < 0.95 else "JPY",
            floor_minor_units=floor,
        )

    def _terms(self) -> merchant_pb2.SettlementTerms:
        policies = [
            Policy.FEE_REFUND_POLICY_UNSPECIFIED,
            Policy.FEE_REFUND_POLICY_KEEP,
            Policy.FEE_REFUND_POLICY_RETURN,
        ]
        return merchant_pb2.SettlementTerms(
            currency_code="EUR",
            account_id=self._one(self._settlements, "acc"),
            fee_schedule=merchant_pb2.FeeSchedule(
                basis_points=self._chance.choice([0, 140, 1_234]),
                fixed_minor_units=self._chance.choice([0, 5]),
                refund_policy=self._chance.choice(policies),
            ),
        )

    def _merchant(self) -> Message:
        return merchant_pb2.CreateMerchantRequest(
            request_id=self._id(),
            reference=f"shop-{self._chance.randrange(200)}",
            display_name="Corner “Coffee”",
            settlement_terms=[self._terms()],
        )

    def _update(self) -> Message:
        state = self._chance.choice(
            [merchant_pb2.Merchant.STATE_ACTIVE, merchant_pb2.Merchant.STATE_SUSPENDED]
        )
        paths = self._chance.choice([["state"], ["display_name"], ["settlement_terms", "state"]])
        return merchant_pb2.UpdateMerchantRequest(
            request_id=self._id(),
            merchant=merchant_pb2.Merchant(
                id=self._one(self._merchants, "mer"),
                display_name="New name",
                state=state,
                settlement_terms=[self._terms()],
            ),
            update_mask=field_mask_pb2.FieldMask(paths=paths),
        )

    def _top_up(self) -> Message:
        return account_pb2.CreateTransferRequest(
            request_id=self._id(),
            source_account_id="world",
            destination_account_id=self._one(self._wallets, "acc"),
            amount=self._amount(50_000),
        )

    def _transfer(self) -> Message:
        names = [*self._wallets[-9:], *self._settlements[-9:], "world", "fees", NOBODY["acc"]]
        return account_pb2.CreateTransferRequest(
            request_id=self._id(),
            source_account_id=self._chance.choice(names),
            destination_account_id=self._chance.choice(names),
            amount=self._amount(3_000),
            description=self._chance.choice(["", "rent", "日本"]),
        )

    def _authorize(self) -> payment_pb2.AuthorizePaymentRequest:
        return payment_pb2.AuthorizePaymentRequest(
            request_id=self._id(),
            payer_account_id=self._one(self._wallets, "acc"),
            merchant_id=self._one(self._merchants, "mer"),
            amount=self._amount(6_000),
            capture_method=self._chance.choice(
                [
                    payment_pb2.CAPTURE_METHOD_UNSPECIFIED,
                    payment_pb2.CAPTURE_METHOD_MANUAL,
                    payment_pb2.CAPTURE_METHOD_MANUAL_MULTIPLE,
                ]
            ),
            hold_duration_seconds=self._chance.choice([0, 60, 3_600, 86_400]),
            description=self._chance.choice(["", "two flat whites", 'a "quoted" \\ one']),
            # One pair at most: protobuf writes several in another order in each process.
            metadata=self._chance.choice([{}, {"till": "7"}, {"a": "ü"}]),
        )

    def _capture(self) -> Message:
        return payment_pb2.CapturePaymentRequest(
            request_id=self._id(),
            payment_id=self._late_one(),
            amount=self._some(4_000),
            final=self._chance.random() < 0.3,
        )

    def _void(self) -> Message:
        return payment_pb2.VoidPaymentRequest(request_id=self._id(), payment_id=self._late_one())

    def _refund(self) -> Message:
        return payment_pb2.RefundPaymentRequest(
            request_id=self._id(),
            payment_id=self._late_one(),
            amount=self._some(2_000),
            description=self._chance.choice(["", "cold shower"]),
        )

    def _reverse(self) -> Message:
        """Reverse something recent, or what comes next and is therefore late."""
        recent = [wish.request for wish in self._asked[-60:]]
        originals = [one for one in recent if isinstance(one, payment_pb2.AuthorizePaymentRequest)]
        original = self._chance.choice(originals) if originals else self._authorize()
        comes_first = self._chance.random() < 0.4
        return payment_pb2.ReversePaymentRequest(
            request_id=self._id(),
            original_request_id=f"r-{self._count + 1}" if comes_first else original.request_id,
            payer_account_id=original.payer_account_id,
            merchant_id=original.merchant_id,
        )

    def _freeze(self) -> Message:
        account_id = self._one(self._wallets, "acc")
        return account_pb2.FreezeAccountRequest(request_id=self._id(), account_id=account_id)

    def _unfreeze(self) -> Message:
        account_id = self._one(self._wallets, "acc")
        return account_pb2.UnfreezeAccountRequest(request_id=self._id(), account_id=account_id)

    def _close(self) -> Message:
        account_id = self._one(self._wallets, "acc")
        return account_pb2.CloseAccountRequest(request_id=self._id(), account_id=account_id)
