"""Reads rows of a journal into the records that their events would say."""

from typing import Final, NamedTuple

import msgspec

from kit import frames
from processor.domain.accounts import Account
from processor.domain.draft import Event
from processor.domain.merchants import Merchant
from processor.domain.payments import Payment, Refund
from processor.domain.transfers import Transfer
from services.reporting.records import (
    AccountImage,
    MerchantImage,
    PaymentImage,
    Place,
    Records,
    RefundImage,
    TransferRow,
)
from services.reporting.told import SUSPENDED


class JournalRow(NamedTuple):
    """A row of a shard's journal; `created_at` in µs since 1970."""

    shard: str
    incarnation: str
    seq: int
    body: bytes
    created_at: int


class BadRow(Exception):
    """A body that cannot be read: damaged, or of a version that is not known here."""


class _Sent(NamedTuple):
    destination: str
    number: int
    transfer_id: str
    payment_id: str
    text: str


class _Taken(NamedTuple):
    source: str
    number: int
    transfer_id: str
    payment_id: str
    remote_account_id: str
    outcome: str
    text: str


class _Crossed(msgspec.Struct):
    sent: list[_Sent]
    received: list[_Taken]
    settled: list[Refund]


class _Body(msgspec.Struct):
    """What of a body becomes events; copies of what moves here do not."""

    accounts: list[Account]
    payments: list[Payment]
    merchants: list[Merchant]
    transfers: list[Transfer]
    refunds: list[Refund]
    events: list[Event]
    crossed: _Crossed | None = None


class _LegHead(msgspec.Struct):
    account_id: str = ""


_decode: Final = msgspec.json.Decoder(_Body).decode
_decode_leg: Final = msgspec.json.Decoder(_LegHead).decode


def collect(row: JournalRow, into: Records) -> None:
    """Add what a row says. Raises BadRow."""
    try:
        body = _decode(frames.unpack(row.body))
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadRow(f"{row.shard}: row {row.seq}: {type(error).__name__}") from None
    place = Place(row.shard, row.incarnation, row.seq, row.created_at)
    into.places.append(place)
    for payment in body.payments:
        into.payments.append(payment_image(payment, place))
    _refunds(body, place, into)
    _transfers(body, place, into)
    for account in body.accounts:
        into.accounts.append(account_image(account, place))
    told = {event.entity_id for event in body.events if event.type.startswith("merchant_")}
    # Others are copies of other shards' merchants.
    for merchant in body.merchants:
        if merchant.id in told:
            into.merchants.append(merchant_image(merchant, place))


def payment_image(it: Payment, place: Place) -> PaymentImage:
    """Return the image of a payment."""
    return PaymentImage(
        it.id,
        it.tenant_id,
        it.merchant_id,
        it.payer_account_id,
        it.state,
        it.decline_reason,
        it.capture_method,
        it.currency,
        it.amount,
        it.captured,
        it.refunded,
        it.refund_pending,
        it.fee,
        it.fee_refunded,
        it.description,
        it.metadata or "{}",
        it.version,
        it.created_at,
        it.updated_at,
        place,
    )


def account_image(it: Account, place: Place) -> AccountImage:
    """Return the image of an account."""
    return AccountImage(
        *(it.id, it.tenant_id, it.user_id, it.kind, it.currency, it.state),
        *(it.posted, it.held, it.version, place),
    )


def merchant_image(it: Merchant, place: Place) -> MerchantImage:
    """Return the image of a merchant."""
    accounts = tuple(sorted({terms.account_id for terms in it.settlement_terms}))
    return MerchantImage(
        it.id, it.tenant_id, it.reference, it.display_name, accounts, it.version, place
    )


def _refunds(body: _Body, place: Place, into: Records) -> None:
    latest = {refund.id: refund for refund in body.refunds}
    if body.crossed is not None:
        latest |= {refund.id: refund for refund in body.crossed.settled}
    if not latest:
        return
    payments = {payment.id: payment for payment in body.payments}
    for it in latest.values():
        payment = payments.get(it.payment_id)
        if payment is None:
            raise BadRow(f"{place.shard}: row {place.seq}: a refund without its payment")
        into.refunds.append(
            RefundImage(
                it.id,
                it.payment_id,
                payment.tenant_id,
                payment.merchant_id,
                it.state,
                it.currency,
                it.amount,
                it.fee_refunded,
                it.created_at,
                place,
            )
        )


def _transfers(body: _Body, place: Place, into: Records) -> None:
    """Add transfers, each with the index of its event: payments' events come first."""
    if not body.transfers:
        return
    index = sum(event.type.startswith(("payment_", "refund_")) for event in body.events)
    suspended = {event.entity_id for event in body.events if event.type == SUSPENDED}
    remote = _remote_accounts(body.crossed) if body.crossed is not None else {}
    for it in body.transfers:
        into.transfers.append(
            TransferRow(
                it.id,
                it.debit_account_id,
                it.credit_account_id,
                it.amount,
                it.currency,
                it.reason,
                it.payment_id or "",
                it.refund_id or "",
                it.description,
                remote.get(it.id, ""),
                it.debit_posted_after,
                it.credit_posted_after,
                index,
                place,
            )
        )
        index += 2 if it.id in suspended else 1


def _remote_accounts(crossed: _Crossed) -> dict[str, str]:
    """Return, by transfer, the account on another shard that is its other side."""
    found = {one.transfer_id: one.remote_account_id for one in crossed.received}
    for sent in crossed.sent:
        if sent.transfer_id:
            found[sent.transfer_id] = _decode_leg(sent.text).account_id
    return found
