"""Reads of one shard: what they need from storage, and the servicer that answers them."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import grpc
from google.protobuf.message import Message

from kit import read_tokens, serving
from kit.read_tokens import ReadToken
from processor import answers, hosting, legs, pages, stored_requests, translate
from processor.cached_reads import CachedReads
from processor.domain import ids, refusals
from processor.domain.accounts import Account
from processor.domain.commands import Principal
from processor.domain.merchants import Merchant
from processor.domain.payments import Payment, Refund
from processor.domain.reads import ApiKey, AsOf, MoneySent, Page, StoredRequest
from processor.domain.transfers import Transfer
from processor.entries import SHARD_UNAVAILABLE, UNAVAILABLE_RETRY_MS
from processor.ports import Unavailable
from tender.v1 import (
    account_pb2,
    as_of_pb2,
    lane_pb2,
    merchant_pb2,
    money_pb2,
    payment_pb2,
    query_pb2,
    query_pb2_grpc,
    request_pb2,
)

FUTURE_US_MAX: Final = 1_000_000
"""How far beyond our clock a moment may lie: clocks differ, and history has no future."""


class Snapshot(Protocol):
    """The shard as of one commit. Any method may raise Unavailable."""

    async def head(self) -> str:
        """Return the read token of the newest commit seen; empty before the first."""

    async def payment(self, payment_id: str) -> Payment | None:
        """Return a payment."""

    async def payment_by_request(self, tenant_id: str, request_id: str) -> Payment | None:
        """Return the payment that a tenant's request_id authorized."""

    async def refunds_of(self, payment_id: str) -> Sequence[Refund]:
        """Return the oldest refunds of a payment, oldest first, bounded."""

    async def legs_of(self, payment_id: str) -> Sequence[MoneySent]:
        """Return the oldest legs by which money of a payment went to another shard, bounded."""

    async def list_payments(
        self, tenant_id: str, merchant_id: str, payer_account_id: str, before: str, limit: int
    ) -> Page[Payment]:
        """Return a tenant's payments with ids below one, newest first; empty filters say nothing.

        A merchant or payer that is filtered by belongs to the tenant. `before` sorts above every
        id or is one of the list; below any other there may be nothing.
        """

    async def account(self, account_id: str) -> Account | None:
        """Return an account."""

    async def list_accounts(
        self, tenant_id: str, user_id: str, before: str, limit: int
    ) -> Page[Account]:
        """Return a tenant's accounts with ids below one, newest first."""

    async def accounts(self, account_ids: Sequence[str]) -> Sequence[Account]:
        """Return those of the accounts that exist, newest first."""

    async def list_transfers(self, account_id: str, before: str, limit: int) -> Page[Transfer]:
        """Return an account's transfers with ids below one, newest first.

        `before` sorts above every id or is one of the list; below any other there is nothing.
        """

    async def other_sides(self, transfer_ids: Sequence[str]) -> Mapping[str, str]:
        """Return, by transfer, the account on the other shard that money went to or came from."""

    async def balance_at(self, account_id: str, time_us: int) -> int:
        """Return the posted balance of an account after all transfers up to a moment."""

    async def merchant(self, merchant_id: str) -> Merchant | None:
        """Return a merchant."""

    async def request(self, tenant_id: str, request_id: str) -> StoredRequest | None:
        """Return what is stored of a tenant's request_id."""


class Queries(Protocol):
    """Where reads of a shard go."""

    async def read(
        self,
        work: Callable[[Any], Awaitable[Message]],
        after: ReadToken | None = None,
        *,
        alone: bool = False,
    ) -> tuple[Any, AsOf]:
        """Return what work finds in one Snapshot that has the commit `after`, and how new it is.

        `alone` says that it asks for one thing, and need not be held to one commit. Work may be
        begun again on another copy of the shard. Raises Unavailable, ReadTokenElsewhere,
        ReadTokenAhead, HistoryLost or what work raises.
        """


class Keys(Protocol):
    """Where API keys are found."""

    async def api_key(self, key_id: str) -> ApiKey | None:
        """Return an API key, None if it is unknown or revoked. Raises Unavailable."""


class Reader(NamedTuple):
    """Carries out public reads on one snapshot for one principal; raises Refused."""

    snapshot: Snapshot
    who: Principal
    now: int
    before: str = ""
    """Where a list begins, in place of its page token."""

    async def get_payment(self, request: payment_pb2.GetPaymentRequest) -> Message:
        """Return a payment with its refunds, and the way of its money to another shard."""
        read_token = await self.snapshot.head()
        if request.payment_id:
            payment = await self.snapshot.payment(request.payment_id)
        elif request.merchant_id and request.request_id:
            payment = await self.snapshot.payment_by_request(self.who.tenant_id, request.request_id)
            if payment is not None and payment.merchant_id != request.merchant_id:
                payment = None
        else:
            raise refusals.FieldInvalid(
                "payment_id", "Give it, or merchant_id together with request_id."
            )
        if payment is None or not self._owns(payment.tenant_id, payment.merchant_id):
            raise refusals.PaymentUnknown(payment_id=request.payment_id)
        refunds: Sequence[Refund] = ()
        sent: Sequence[MoneySent] = ()
        if payment.captured:  # Else no money ever moved, there or back.
            refunds = await self.snapshot.refunds_of(payment.id)
            sent = await self.snapshot.legs_of(payment.id)
        return payment_pb2.GetPaymentResponse(
            payment=answers.payment_message(payment),
            refunds=[answers.refund_message(refund) for refund in refunds],
            read_token=read_token,
            legs=[_leg(leg) for leg in sent],
        )

    async def list_payments(self, request: payment_pb2.ListPaymentsRequest) -> Message:
        """Return a page of payments; what belongs to others filters everything away."""
        limit = pages.size(request.page_size)
        merchant_id = request.merchant_id or self.who.merchant_id
        payer_id = request.payer_account_id
        filters = ("payments", self.who.tenant_id, merchant_id, payer_id)
        before = self.before or pages.before(request.page_token, *filters)
        read_token = await self.snapshot.head()
        page: Page[Payment] = Page((), "")
        if await self._may_filter_by(merchant_id, payer_id):
            page = await self.snapshot.list_payments(
                self.who.tenant_id, merchant_id, payer_id, before, limit
            )
            page = pages.bounded(page)
        return payment_pb2.ListPaymentsResponse(
            payments=[answers.payment_message(payment) for payment in page.rows],
            next_page_token=pages.token(page.next_before, *filters),
            read_token=read_token,
        )

    async def get_account(self, request: account_pb2.GetAccountRequest) -> Message:
        """Return an account."""
        account = await self._account(request.account_id)
        return account_pb2.GetAccountResponse(
            account=answers.account_message(account), read_token=await self.snapshot.head()
        )

    async def list_accounts(self, request: account_pb2.ListAccountsRequest) -> Message:
        """Return a page of accounts; a merchant's own are those that its money settles on."""
        limit = pages.size(request.page_size)
        filters = ("accounts", self.who.tenant_id, self.who.merchant_id, request.user_id)
        before = self.before or pages.before(request.page_token, *filters)
        read_token = await self.snapshot.head()
        if self.who.merchant_id:
            page = await self._settlement_accounts(request.user_id, before, limit)
        else:
            page = await self.snapshot.list_accounts(
                self.who.tenant_id, request.user_id, before, limit
            )
        return account_pb2.ListAccountsResponse(
            accounts=[answers.account_message(account) for account in page.rows],
            next_page_token=pages.token(page.next_before, *filters),
            read_token=read_token,
        )

    async def list_transfers(self, request: account_pb2.ListTransfersRequest) -> Message:
        """Return a page of an account's transfers."""
        limit = pages.size(request.page_size)
        filters = ("transfers", self.who.tenant_id, request.account_id)
        before = pages.before(request.page_token, *filters)
        read_token = await self.snapshot.head()
        account = await self._account(request.account_id)
        page = await self.snapshot.list_transfers(account.id, before, limit)
        across = [
            one.id
            for one in page.rows
            if ids.is_clearing(one.debit_account_id) or ids.is_clearing(one.credit_account_id)
        ]
        others = await self.snapshot.other_sides(across) if across else {}
        return account_pb2.ListTransfersResponse(
            transfers=[
                answers.transfer_message(transfer, others.get(transfer.id, ""))
                for transfer in page.rows
            ],
            next_page_token=pages.token(page.next_before, *filters),
            read_token=read_token,
        )

    async def get_balance_at(self, request: account_pb2.GetBalanceAtRequest) -> Message:
        """Return a past balance."""
        # A moment between two microseconds is after the first: nothing is posted in between.
        time_us = request.time.seconds * 1_000_000 + request.time.nanos // 1_000
        if not request.HasField("time") or time_us > self.now + FUTURE_US_MAX:
            raise refusals.FieldInvalid("time", "Must be given and not lie in the future.")
        read_token = await self.snapshot.head()
        account = await self._account(request.account_id)
        if time_us < account.created_at:
            raise refusals.HistoryMissing(account_id=account.id)
        posted = await self.snapshot.balance_at(account.id, time_us)
        return account_pb2.GetBalanceAtResponse(
            posted=money_pb2.Money(currency_code=account.currency, minor_units=posted),
            read_token=read_token,
        )

    async def get_merchant(self, request: merchant_pb2.GetMerchantRequest) -> Message:
        """Return a merchant."""
        merchant = await self.snapshot.merchant(request.merchant_id)
        if merchant is None or not self._owns(merchant.tenant_id, merchant.id):
            raise refusals.MerchantUnknown(merchant_id=request.merchant_id)
        return merchant_pb2.GetMerchantResponse(
            merchant=answers.merchant_message(merchant), read_token=await self.snapshot.head()
        )

    async def get_request(self, request: request_pb2.GetRequestRequest) -> Message:
        """Return what is stored of a request_id, with the answer that repetitions get."""
        read_token = await self.snapshot.head()
        stored = await self.snapshot.request(self.who.tenant_id, request.request_id)
        if stored is None or self.who.merchant_id:
            raise refusals.RequestUnknown
        return request_pb2.GetRequestResponse(
            requests=[
                stored_requests.message(request.request_id, stored, read_token.partition(".")[0])
            ],
            read_token=read_token,
        )

    # Who may see what.

    def _owns(self, tenant_id: str, merchant_id: str) -> bool:
        return tenant_id == self.who.tenant_id and self.who.merchant_id in ("", merchant_id)

    async def _account(self, account_id: str) -> Account:
        account = await self.snapshot.account(account_id)
        if (
            account is None
            or account.tenant_id != self.who.tenant_id
            or (self.who.merchant_id and account_id not in await self._settlement_ids())
        ):
            raise refusals.AccountUnknown(account_id=account_id)
        return account

    async def _settlement_ids(self) -> Sequence[str]:
        merchant = await self.snapshot.merchant(self.who.merchant_id)
        if merchant is None or merchant.tenant_id != self.who.tenant_id:
            return ()
        return [terms.account_id for terms in merchant.settlement_terms]

    async def _settlement_accounts(self, user_id: str, before: str, limit: int) -> Page[Account]:
        accounts = await self.snapshot.accounts(await self._settlement_ids())
        rows = [
            account
            for account in accounts
            if account.id < before and user_id in ("", account.user_id)
        ]
        return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else "")

    async def _may_filter_by(self, merchant_id: str, payer_id: str) -> bool:
        """Say whether the filters are the principal's own; else there is nothing to look at."""
        if merchant_id:
            merchant = await self.snapshot.merchant(merchant_id)
            if merchant is None or not self._owns(merchant.tenant_id, merchant.id):
                return False
        if payer_id:
            payer = await self.snapshot.account(payer_id)
            return payer is not None and payer.tenant_id == self.who.tenant_id
        return True


def _leg(sent: MoneySent) -> payment_pb2.Leg:
    """Return a leg as callers see it."""
    leg = legs.decode(sent.text)
    state = payment_pb2.Leg.STATE_POSTED if sent.is_taken else payment_pb2.Leg.STATE_PENDING
    return payment_pb2.Leg(
        transfer_id=leg.transfer_id,
        account_id=leg.account_id,
        amount=money_pb2.Money(currency_code=leg.currency, minor_units=leg.amount),
        state=payment_pb2.Leg.STATE_SUSPENSE if sent.is_suspended else state,
        create_time=answers.timestamp(leg.created_at),
    )


_Method = Callable[[Reader, Any], Awaitable[Message]]

METHODS: Final[dict[int, tuple[type[Message], _Method]]] = {
    lane_pb2.METHOD_GET_PAYMENT: (payment_pb2.GetPaymentRequest, Reader.get_payment),
    lane_pb2.METHOD_LIST_PAYMENTS: (payment_pb2.ListPaymentsRequest, Reader.list_payments),
    lane_pb2.METHOD_GET_ACCOUNT: (account_pb2.GetAccountRequest, Reader.get_account),
    lane_pb2.METHOD_LIST_ACCOUNTS: (account_pb2.ListAccountsRequest, Reader.list_accounts),
    lane_pb2.METHOD_LIST_TRANSFERS: (account_pb2.ListTransfersRequest, Reader.list_transfers),
    lane_pb2.METHOD_GET_BALANCE_AT: (account_pb2.GetBalanceAtRequest, Reader.get_balance_at),
    lane_pb2.METHOD_GET_MERCHANT: (merchant_pb2.GetMerchantRequest, Reader.get_merchant),
    lane_pb2.METHOD_GET_REQUEST: (request_pb2.GetRequestRequest, Reader.get_request),
}


_CACHED: Final = frozenset({lane_pb2.METHOD_GET_ACCOUNT, lane_pb2.METHOD_GET_MERCHANT})
"""What a CachedSnapshot has all that is needed for."""


def clock() -> int:
    """Return the time in µs since 1970."""
    return time.time_ns() // 1_000


class QueryServicer(query_pb2_grpc.QueryServiceServicer):
    """Answers reads with the public response or a refusal."""

    def __init__(
        self,
        shards: Mapping[str, Queries],
        keys: Keys,
        clock: Callable[[], int] = clock,
        caches: Mapping[str, CachedReads] | None = None,
    ) -> None:
        """`caches`, by shard, are asked first for what they may have."""
        self._shards = shards
        self._keys = keys
        self._clock = clock
        self._caches = caches or {}

    async def Read(
        self, request: query_pb2.ReadRequest, context: serving.Context
    ) -> query_pb2.ReadResponse:
        """Carry out a public read of one shard."""
        queries = hosting.part_of(self._shards, request.shard)
        if queries is None:
            return query_pb2.ReadResponse(refusal=_UNAVAILABLE)
        message_type, read = METHODS[request.method]
        asked: Any = message_type.FromString(request.request)
        who = translate.principal(request.principal)
        cache = None
        if request.method in _CACHED:
            cache = hosting.part_of(self._caches, request.shard)

        def work(snapshot: Any) -> Awaitable[Message]:
            return read(Reader(snapshot, who, self._clock(), request.before), asked)

        try:
            after = _token(request.read_token or asked.read_token, request.shard)
            hit = await cache.read(work, after) if cache is not None else None
            alone = request.method == lane_pb2.METHOD_GET_PAYMENT and bool(asked.payment_id)
            found, as_of = hit or await queries.read(work, after, alone=alone)
        except refusals.Refused as refused:
            return query_pb2.ReadResponse(refusal=_refusal(refused))
        except Unavailable:
            return query_pb2.ReadResponse(refusal=_UNAVAILABLE)
        # Every answer to a read has the field.
        found.as_of.append(_as_of(found, as_of))
        return query_pb2.ReadResponse(response=found.SerializeToString())

    async def GetApiKey(
        self, request: query_pb2.GetApiKeyRequest, context: serving.Context
    ) -> query_pb2.GetApiKeyResponse:
        """Return an API key's record."""
        try:
            key = await self._keys.api_key(request.key_id)
        except Unavailable:
            await context.abort(grpc.StatusCode.UNAVAILABLE, SHARD_UNAVAILABLE.message)
        if key is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such key.")
        return query_pb2.GetApiKeyResponse(
            secret_hash=key.secret_hash,
            tenant_id=key.tenant_id,
            scopes=key.scopes,
            merchant_id=key.merchant_id,
        )


_UNAVAILABLE: Final = lane_pb2.Refusal(
    reason=SHARD_UNAVAILABLE.reason,
    message=SHARD_UNAVAILABLE.message,
    retry_delay_ms=UNAVAILABLE_RETRY_MS,
)


def _token(text: str, shard: str) -> ReadToken | None:
    """Return the token of the shard that is read; raises Refused if there are only others'."""
    try:
        tokens = read_tokens.parse(text)
    except ValueError:
        raise refusals.FieldInvalid("read_token", "Must be a read_token of an answer.") from None
    return read_tokens.of_shard(tokens, shard) or (tokens[0] if tokens else None)


def _as_of(found: Any, as_of: AsOf) -> as_of_pb2.AsOf:
    message = as_of_pb2.AsOf(shard=found.read_token.partition(".")[0], as_of_seq=as_of.seq)
    message.staleness.FromMicroseconds(round(as_of.staleness_seconds * 1_000_000))
    return message


def _refusal(refused: refusals.Refused) -> lane_pb2.Refusal:
    """Return a refusal as the gateway reads it; the exception's docstring is the message."""
    problems = []
    if isinstance(refused, refusals.FieldInvalid):
        problems = [lane_pb2.FieldProblem(field=refused.field, description=refused.description)]
    return lane_pb2.Refusal(
        reason=refused.reason,
        message=refused.__doc__ or refused.reason,
        metadata=refused.metadata,
        field_problems=problems,
    )
