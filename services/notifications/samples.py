"""What templates are tried on before they are stored: events as they may come, of each type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.notifications import facts
from services.notifications.kinds import OF_EVENT
from services.notifications.money import Amount
from tender.v1 import event_pb2, money_pb2, payment_pb2

ZONE: Final = ZoneInfo("Europe/Vienna")
_AT: Final = datetime(2026, 11, 21, 18, 5, tzinfo=UTC)
_LATER: Final = datetime(2026, 11, 28, 18, 5, tzinfo=UTC)
_SHOP: Final = "Fish & Chips <Harbour>"


@dataclass(frozen=True, slots=True)
class Sample:
    """What comes along with a template of a type that other services ask for."""

    texts: Mapping[str, str] = field(default_factory=dict)
    amounts: Mapping[str, Amount] = field(default_factory=dict)


NONE: Final = Sample()


def values(sample: Sample) -> Mapping[str, Any]:
    """Return a sample as templates get it."""
    return {**sample.texts, **sample.amounts}


def _event(event_type: str, currency_code: str, minor_units: int, description: str) -> Any:
    payment = payment_pb2.Payment(
        id="pay_eu_01kasample",
        merchant_id="mer_eu_01kasample",
        payer_account_id="acc_eu_01kasample",
        description=description,
        version=2,
        state=_STATES.get(event_type, payment_pb2.Payment.STATE_CAPTURED),
    )
    whole = money_pb2.Money(currency_code=currency_code, minor_units=minor_units)
    for name in ("amount", "captured", "capturable", "refunded", "refund_pending", "fee"):
        getattr(payment, name).CopyFrom(whole)
    payment.create_time.FromDatetime(_AT)
    payment.update_time.FromDatetime(_AT)
    if event_type == "payment_declined":
        payment.decline_reason = payment_pb2.DECLINE_REASON_INSUFFICIENT_FUNDS
    if event_type == "payment_authorized":
        payment.hold_expire_time.FromDatetime(_LATER)
    event = event_pb2.Event(id="s1.0.1.0", type=event_type, schema_version=1)
    event.payment.payment.CopyFrom(payment)
    if event_type in {"payment_refunded", "refund_failed"}:
        refund = event.payment.refunds.add(id="ref_eu_01kasample", payment_id=payment.id)
        refund.amount.CopyFrom(whole)
        refund.description = description
        if event_type == "refund_failed":
            refund.failure_reason = "MERCHANT_FUNDS_INSUFFICIENT"
    return event


_State = payment_pb2.Payment
_STATES: Final = {
    "payment_authorized": _State.STATE_AUTHORIZED,
    "payment_partially_captured": _State.STATE_PARTIALLY_CAPTURED,
    "payment_voided": _State.STATE_VOIDED,
    "payment_expired": _State.STATE_EXPIRED,
    "payment_declined": _State.STATE_DECLINED,
}


def _all(event_type: str) -> Sequence[Mapping[str, Any]]:
    full = _event(event_type, "EUR", 123_450, "Table 7 \N{EM DASH} <b>dinner</b>")
    # No decimals, no text, and refunds that were told with another event of the same commit.
    bare = _event(event_type, "JPY", 980, "")
    del bare.payment.refunds[:]
    return (facts.of_payment(full, _SHOP), facts.of_payment(bare, "mer_eu_01kasample"))


OF_TYPE: Final[dict[str, Sequence[Mapping[str, Any]]]] = {
    kind.type: _all(event_type) for event_type, kinds in OF_EVENT.items() for kind in kinds.values()
}
"""By type of message; a template has to be fit for each."""
