"""Reads events into records; what an event is in a topic is in docs/events.md."""

import json
from typing import Final

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.timestamp_pb2 import Timestamp

from processor.consumers.handlers import Refused
from services.reporting.records import (
    AccountImage,
    MerchantImage,
    PaymentImage,
    Place,
    Records,
    RefundImage,
    TransferRow,
)
from tender.v1 import account_pb2, event_pb2, payment_pb2

TOPICS: Final = ("payments", "transfers", "accounts", "merchants")

EVENT_INCOMPLETE: Final = "EVENT_INCOMPLETE"
"""The cause of a letter: an event that says less than its type does."""

SUSPENDED: Final = "transfer_suspended"
UNARRIVED: Final = "payment_reversed_before_arrival"


def micros(time: Timestamp) -> int:
    """Return a protobuf time in µs since 1970."""
    return time.seconds * 1_000_000 + time.nanos // 1_000


def place_of(event: event_pb2.Event) -> Place:
    """Return the commit of an event."""
    return Place(event.shard, event.incarnation, event.seq, micros(event.create_time))


def collect(event: event_pb2.Event, into: Records) -> None:
    """Add what an event says. Raises Refused for one that cannot be placed."""
    if not event.shard or not event.incarnation or event.seq <= 0:
        raise Refused(EVENT_INCOMPLETE, "it does not name its commit")
    place = place_of(event)
    into.places.append(place)
    match event.WhichOneof("entity"):
        case "payment":
            _payment(event, place, into)
        case "transfer":
            # transfer_suspended says the same transfer once more.
            if event.type != SUSPENDED:
                into.transfers.append(_transfer(event, place))
        case "account":
            into.accounts.append(_account(event, place))
        case "merchant":
            into.merchants.append(_merchant(event, place))
        case _:
            # A reversal that came before its payment is about none.
            if event.type != UNARRIVED:
                raise Refused(EVENT_INCOMPLETE, "it says nothing of what it is about")


def _names(enum: EnumTypeWrapper, prefix: str) -> dict[int, str]:
    """Return the domain's names of an enum by their wire numbers."""
    return {number: name.removeprefix(prefix) for name, number in enum.items()}


_STATE: Final = _names(payment_pb2.Payment.State, "STATE_")
_CAPTURE_METHOD: Final = _names(payment_pb2.CaptureMethod, "CAPTURE_METHOD_")
_DECLINE_REASON: Final = _names(payment_pb2.DeclineReason, "DECLINE_REASON_") | {0: ""}
_REFUND_STATE: Final = _names(payment_pb2.Refund.State, "STATE_")
_KIND: Final = _names(account_pb2.Account.Kind, "KIND_")
_ACCOUNT_STATE: Final = _names(account_pb2.Account.State, "STATE_")
_REASON: Final = _names(account_pb2.Transfer.Reason, "REASON_")

_UNKNOWN: Final = "a field has a value that is not known here"


def _name(names: dict[int, str], number: int) -> str:
    found = names.get(number)
    if found is None:
        # It came with a later version of Tender: parked, it is taken in after the upgrade.
        raise Refused("VALUE_UNKNOWN", _UNKNOWN)
    return found


def _payment(event: event_pb2.Event, place: Place, into: Records) -> None:
    it = event.payment.payment
    into.payments.append(
        PaymentImage(
            id=it.id,
            tenant_id=event.tenant_id,
            merchant_id=it.merchant_id,
            payer_account_id=it.payer_account_id,
            state=_name(_STATE, it.state),
            decline_reason=_name(_DECLINE_REASON, it.decline_reason),
            capture_method=_name(_CAPTURE_METHOD, it.capture_method),
            currency=it.amount.currency_code,
            amount=it.amount.minor_units,
            captured=it.captured.minor_units,
            refunded=it.refunded.minor_units,
            refund_pending=it.refund_pending.minor_units,
            fee=it.fee.minor_units,
            fee_refunded=it.fee_refunded.minor_units,
            description=it.description,
            metadata=json.dumps(dict(it.metadata)) if it.metadata else "{}",
            version=it.version,
            created_at=micros(it.create_time),
            updated_at=micros(it.update_time),
            place=place,
        )
    )
    for refund in event.payment.refunds:
        into.refunds.append(
            RefundImage(
                id=refund.id,
                payment_id=it.id,
                tenant_id=event.tenant_id,
                merchant_id=it.merchant_id,
                state=_name(_REFUND_STATE, refund.state),
                currency=refund.amount.currency_code,
                amount=refund.amount.minor_units,
                fee_refunded=refund.fee_refunded.minor_units,
                created_at=micros(refund.create_time),
                place=place,
            )
        )


def _transfer(event: event_pb2.Event, place: Place) -> TransferRow:
    change = event.transfer
    it = change.transfer
    return TransferRow(
        id=it.id,
        source_account_id=it.source_account_id,
        destination_account_id=it.destination_account_id,
        amount=it.amount.minor_units,
        currency=it.amount.currency_code,
        reason=_name(_REASON, it.reason),
        payment_id=it.payment_id,
        refund_id=change.refund_id,
        description=it.description,
        remote_account_id=it.remote_account_id,
        source_posted_after=change.source_posted_after,
        destination_posted_after=change.destination_posted_after,
        event_index=event.index,
        place=place,
    )


def _account(event: event_pb2.Event, place: Place) -> AccountImage:
    it = event.account
    return AccountImage(
        id=it.id,
        tenant_id=event.tenant_id,
        user_id=it.user_id,
        kind=_name(_KIND, it.kind),
        currency=it.currency_code,
        state=_name(_ACCOUNT_STATE, it.state),
        posted=it.posted.minor_units,
        held=it.held.minor_units,
        version=it.version,
        place=place,
    )


def _merchant(event: event_pb2.Event, place: Place) -> MerchantImage:
    it = event.merchant
    return MerchantImage(
        id=it.id,
        tenant_id=event.tenant_id,
        reference=it.reference,
        display_name=it.display_name,
        account_ids=tuple(sorted({terms.account_id for terms in it.settlement_terms})),
        version=it.version,
        place=place,
    )
