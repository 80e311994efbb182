"""Which events there are for webhooks, who may hear of them, and how each is told. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

PAYMENTS: Final = "payments"
TRANSFERS: Final = "transfers"
ACCOUNTS: Final = "accounts"

TYPES: Final[dict[str, tuple[str, ...]]] = {
    PAYMENTS: (
        "payment_authorized",
        "payment_captured",
        "payment_partially_captured",
        "payment_remainder_released",
        "payment_voided",
        "payment_expired",
        "payment_declined",
        "payment_refunded",
        "refund_requested",
        "refund_failed",
        "payment_reversed_before_arrival",
    ),
    TRANSFERS: ("transfer_posted", "transfer_suspended"),
    ACCOUNTS: (
        "account_opened",
        "account_frozen",
        "account_unfrozen",
        "account_closed",
        "account_updated",
        "account_moved",
    ),
}
"""By topic. One more is an entry here and, if its events carry another message, one in `bodies`."""

TOPIC_OF: Final = {name: topic for topic, names in TYPES.items() for name in names}
EVENT_TYPES_MAX: Final = 50
"""In the filter of one endpoint."""


@dataclass(frozen=True)
class Filter:
    """What an endpoint hears of."""

    endpoint_id: str
    tenant_id: str
    merchant_id: str
    """Empty for all of the tenant."""
    event_types: frozenset[str]
    """Empty for every type of `payments`."""


@dataclass(frozen=True)
class Happened:
    """What of an event decides who hears of it."""

    tenant_id: str
    merchant_id: str
    """Of the payment; empty if it is of none."""
    type: str


def wants(filter: Filter, happened: Happened) -> bool:
    """Say whether an endpoint is to get an event."""
    if filter.tenant_id != happened.tenant_id:
        return False
    if filter.merchant_id and filter.merchant_id != happened.merchant_id:
        return False
    if filter.event_types:
        return happened.type in filter.event_types
    return TOPIC_OF.get(happened.type) == PAYMENTS


def allowed_types(merchant_id: str, topics: Collection[str]) -> Sequence[str]:
    """Return what a filter may name: of a merchant, what is told with a payment of its own."""
    if merchant_id:
        # Of a payment that never came it is not known whose it would have been.
        return [name for name in TYPES[PAYMENTS] if name != "payment_reversed_before_arrival"]
    return [name for name, topic in TOPIC_OF.items() if topic in topics]
