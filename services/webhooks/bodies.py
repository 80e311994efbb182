"""The JSON document of an event, the same bytes for every endpoint and attempt. Pure.

Which fields are told is listed by name: what is added to the contract is told when somebody says
so here, and a name that the contract does not have stops the service. docs/webhooks.md shows the
result.
"""

import json
from collections.abc import Callable
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tender.v1 import account_pb2, event_pb2, merchant_pb2, money_pb2, payment_pb2

REVERSED_BEFORE_ARRIVAL: Final = "payment_reversed_before_arrival"

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "Money": ("currency_code", "minor_units"),
    "FeeSchedule": ("basis_points", "fixed_minor_units", "refund_policy"),
    "Payment": (
        *("id", "merchant_id", "payer_account_id", "settlement_account_id", "state"),
        *("capture_method", "decline_reason", "amount", "captured", "capturable", "refunded"),
        *("refund_pending", "fee", "fee_refunded", "fee_schedule", "hold_expire_time"),
        *("create_time", "update_time", "version", "description", "metadata"),
    ),
    "Refund": (
        *("id", "payment_id", "state", "amount", "fee_refunded", "create_time", "description"),
        "failure_reason",
    ),
    "Transfer": (
        *("id", "source_account_id", "destination_account_id", "amount", "reason", "state"),
        *("payment_id", "create_time", "description", "remote_account_id"),
    ),
    "Account": (
        *("id", "user_id", "kind", "currency_code", "state", "posted", "held", "available"),
        *("floor", "create_time", "update_time", "version"),
    ),
    "PaymentChange": ("payment", "refunds"),
    "TransferChange": ("transfer", "refund_id"),
}
LEFT_OUT: Final = {
    # A transfer that was declined has no event.
    "Transfer": ("decline_reason",),
    # Balances of both sides: the receiver may be neither.
    "TransferChange": ("source_posted_after", "destination_posted_after"),
}
_MESSAGES: Final[tuple[type[Message], ...]] = (
    money_pb2.Money,
    merchant_pb2.FeeSchedule,
    payment_pb2.Payment,
    payment_pb2.Refund,
    account_pb2.Transfer,
    account_pb2.Account,
    event_pb2.PaymentChange,
    event_pb2.TransferChange,
)


def body(event: event_pb2.Event) -> str:
    """Return the document of an event."""
    document = {
        "id": event.id,
        "type": event.type,
        "timestamp": moment(event.create_time),
        "entity_id": event.entity_id,
        "version": event.version,
        "data": _data(event),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def moment(timestamp: Timestamp) -> str:
    """Return a time as RFC 3339 says, in UTC with microseconds."""
    text = timestamp.ToDatetime().isoformat(timespec="microseconds")
    return f"{text}Z"


def _data(event: event_pb2.Event) -> dict[str, Any]:
    match event.WhichOneof("entity"):
        case "payment":
            return _told(event.payment)
        case "transfer":
            return _told(event.transfer)
        case "account":
            return {"account": _told(event.account)}
        case _:
            # Of a payment that never came: all that is known of it is its request_id.
            return {"request_id": event.entity_id}


def _told(message: Message) -> dict[str, Any]:
    return {name: tell(message) for name, tell in _TELLERS[message.DESCRIPTOR.name]}


Teller = Callable[[Message], Any]


def _tellers(descriptor: Descriptor) -> list[tuple[str, Teller]]:
    names = FIELDS[descriptor.name]
    by_name = descriptor.fields_by_name
    assert set(names) <= set(by_name), f"{descriptor.name} has no such field"
    return [(name, _teller(by_name[name])) for name in names]


def _teller(field: FieldDescriptor) -> Teller:
    """Return what reads a field: null where nothing is set, states by their names."""
    name, kind = field.name, field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return lambda message: dict(sorted(getattr(message, name).items()))
    if kind is not None and field.is_repeated:
        return lambda message: [_told(one) for one in getattr(message, name)]
    if kind is not None:
        tell: Callable[[Any], Any] = moment if kind.name == "Timestamp" else _told
        return lambda message: tell(getattr(message, name)) if message.HasField(name) else None
    if field.enum_type is not None:
        names = _enum_names(field.enum_type)
        return lambda message: names.get(getattr(message, name))
    return lambda message: getattr(message, name)


def _enum_names(kind: EnumDescriptor) -> dict[int, str]:
    """Return the names of an enum without what they begin with; what was not said is left out."""
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {one.number: one.name.removeprefix(prefix) for one in kind.values if one.number}


_TELLERS: Final = {
    each.DESCRIPTOR.name: _tellers(cast(Descriptor, each.DESCRIPTOR)) for each in _MESSAGES
}
