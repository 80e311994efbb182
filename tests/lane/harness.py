"""Drives a lane in the test's own process: commands as public requests, replies as responses."""

import asyncio
import itertools
import time
from typing import Any

from google.protobuf.message import Message

from processor import translate
from processor.entries import Entry, Reply
from processor.lane import Lane
from tender.v1 import account_pb2, lane_pb2, merchant_pb2, payment_pb2
from tender.v1.money_pb2 import Money

OPERATOR = lane_pb2.Principal(tenant_id="dev", operator=True)
SERVICE = lane_pb2.Principal(tenant_id="dev")

METHODS: dict[type[Message], tuple[int, type[Message]]] = {
    payment_pb2.AuthorizePaymentRequest: (1, payment_pb2.AuthorizePaymentResponse),
    payment_pb2.CapturePaymentRequest: (2, payment_pb2.CapturePaymentResponse),
    payment_pb2.VoidPaymentRequest: (3, payment_pb2.VoidPaymentResponse),
    payment_pb2.RefundPaymentRequest: (4, payment_pb2.RefundPaymentResponse),
    payment_pb2.ReversePaymentRequest: (5, payment_pb2.ReversePaymentResponse),
    account_pb2.CreateAccountRequest: (6, account_pb2.CreateAccountResponse),
    account_pb2.FreezeAccountRequest: (7, account_pb2.FreezeAccountResponse),
    account_pb2.UnfreezeAccountRequest: (8, account_pb2.UnfreezeAccountResponse),
    account_pb2.CloseAccountRequest: (9, account_pb2.CloseAccountResponse),
    account_pb2.CreateTransferRequest: (10, account_pb2.CreateTransferResponse),
    merchant_pb2.CreateMerchantRequest: (11, merchant_pb2.CreateMerchantResponse),
    merchant_pb2.UpdateMerchantRequest: (12, merchant_pb2.UpdateMerchantResponse),
}
_numbers = itertools.count(1)


def unique(prefix: str = "r") -> str:
    """Return a request_id of this run."""
    return f"{prefix}-{next(_numbers)}"


def euros(minor_units: int) -> Money:
    """Return an amount in EUR."""
    return Money(currency_code="EUR", minor_units=minor_units)


class Caller:
    """Calls a lane as a gateway would."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane

    def send(
        self,
        request: Any,
        principal: lane_pb2.Principal = OPERATOR,
        *,
        timeout_seconds: float = 30.0,
        denied: bool = False,
        bulk: bool = False,
        background: bool = False,
    ) -> "asyncio.Future[Reply]":
        """Submit a request; the future gets the lane's reply."""
        method, _ = METHODS[type(request)]
        envelope = lane_pb2.Command(
            method=method,  # type: ignore[arg-type]
            request=request.SerializeToString(),
            principal=principal,
            risk_verdict=lane_pb2.RISK_VERDICT_DENY if denied else lane_pb2.RISK_VERDICT_ALLOW,
        )
        parsed, command, fingerprint = translate.translate(envelope, translate.principal(principal))
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def reply(answer: Reply) -> None:
            if not future.done():
                future.set_result(answer)

        self.lane.submit(
            Entry(
                command,
                reply,
                method=method,
                method_name=lane_pb2.Method.Name(method).removeprefix("METHOD_"),
                request=parsed,
                fingerprint=fingerprint,
                size=len(envelope.request),
                deadline=time.monotonic() + timeout_seconds,
                bulk=bulk,
                background=background,
            )
        )
        return future

    async def refused(self, request: Any, principal: lane_pb2.Principal = OPERATOR) -> str:
        """Return the reason for which a request is refused."""
        reply = await asyncio.wait_for(self.send(request, principal), 30)
        assert reply.reason, "the request was carried out"
        return reply.reason

    async def ask(self, request: Any, principal: lane_pb2.Principal = OPERATOR) -> Any:
        """Return the public response to a request that must succeed."""
        reply = await asyncio.wait_for(self.send(request, principal), 30)
        assert not reply.reason, reply
        return METHODS[type(request)][1].FromString(reply.response)

    async def account(self, user: str, funds: int = 0, *, merchant: bool = False) -> str:
        """Open an account in EUR, with money from the world."""
        kind = account_pb2.Account.KIND_MERCHANT_WALLET if merchant else None
        opened = await self.ask(
            account_pb2.CreateAccountRequest(
                request_id=unique(), user_id=user, currency_code="EUR", kind=kind
            )
        )
        account_id: str = opened.account.id
        if funds:
            await self.ask(
                account_pb2.CreateTransferRequest(
                    request_id=unique(),
                    source_account_id="world",
                    destination_account_id=account_id,
                    amount=euros(funds),
                )
            )
        return account_id

    async def merchant(self, reference: str, *, basis_points: int = 0, fixed: int = 0) -> str:
        """Create a merchant that settles in EUR."""
        account_id = await self.account(reference, merchant=True)
        terms = merchant_pb2.SettlementTerms(
            currency_code="EUR",
            account_id=account_id,
            fee_schedule=merchant_pb2.FeeSchedule(
                basis_points=basis_points,
                fixed_minor_units=fixed,
                refund_policy=merchant_pb2.FEE_REFUND_POLICY_RETURN,
            ),
        )
        created = await self.ask(
            merchant_pb2.CreateMerchantRequest(
                request_id=unique(),
                reference=reference,
                display_name="Shop",
                settlement_terms=[terms],
            )
        )
        merchant_id: str = created.merchant.id
        return merchant_id


def authorize(
    payer: str, merchant: str, amount: int, request_id: str = "", **fields: Any
) -> payment_pb2.AuthorizePaymentRequest:
    """Return a request to pay in EUR."""
    return payment_pb2.AuthorizePaymentRequest(
        request_id=request_id or unique(),
        payer_account_id=payer,
        merchant_id=merchant,
        amount=euros(amount),
        **fields,
    )
