"""What templates may show of an event or a request: plain values, by name."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from services.notifications.money import Amount
from tender.v1 import event_pb2, money_pb2, payment_pb2


def of_payment(event: event_pb2.Event, merchant_name: str) -> Mapping[str, Any]:
    """Return what an event of a payment says."""
    change = event.payment
    return {
        "payment": _payment(change.payment),
        "refunds": [_refund(refund) for refund in change.refunds],
        "merchant": {"id": change.payment.merchant_id, "name": merchant_name},
    }


def asked_for(
    texts: Mapping[str, str], amounts: Mapping[str, money_pb2.Money]
) -> Mapping[str, Any]:
    """Return what a request says."""
    return {**texts, **{name: amount_of(amount) for name, amount in amounts.items()}}


def moment(at: Timestamp) -> datetime:
    """Return a time of a message."""
    return at.ToDatetime(tzinfo=UTC)


def _payment(payment: payment_pb2.Payment) -> Mapping[str, Any]:
    return {
        "id": payment.id,
        "amount": amount_of(payment.amount),
        "captured": amount_of(payment.captured),
        "capturable": amount_of(payment.capturable),
        "refunded": amount_of(payment.refunded),
        "fee": amount_of(payment.fee),
        "decline_reason": _short(payment_pb2.DeclineReason.Name, payment.decline_reason),
        "hold_expire_time": (
            moment(payment.hold_expire_time) if payment.HasField("hold_expire_time") else None
        ),
        "create_time": moment(payment.create_time),
        "update_time": moment(payment.update_time),
        "description": payment.description,
    }


def _refund(refund: payment_pb2.Refund) -> Mapping[str, Any]:
    return {
        "id": refund.id,
        "amount": amount_of(refund.amount),
        "description": refund.description,
        "failure_reason": refund.failure_reason,
    }


def amount_of(amount: money_pb2.Money) -> Amount:
    """Return an amount as templates get it."""
    return Amount(amount.currency_code, amount.minor_units)


def _short(name_of: Any, number: int) -> str:
    """Return the name of a decline reason without its prefix, and of unknown ones none."""
    try:
        name: str = name_of(number)
    except ValueError:
        return ""
    short = name.removeprefix("DECLINE_REASON_")
    return "" if short == "UNSPECIFIED" else short
