"""What the projection takes in, wherever it is read: from events or from a journal row."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Place(NamedTuple):
    """The commit that something is said by; `at` is its time, in µs since 1970."""

    shard: str
    incarnation: str
    seq: int
    at: int


class PaymentImage(NamedTuple):
    """A payment as a commit left it. Minor units, µs since 1970."""

    id: str
    tenant_id: str
    merchant_id: str
    payer_account_id: str
    state: str
    decline_reason: str
    capture_method: str
    currency: str
    amount: int
    captured: int
    refunded: int
    refund_pending: int
    fee: int
    fee_refunded: int
    description: str
    metadata: str
    """JSON text of an object."""
    version: int
    created_at: int
    updated_at: int
    place: Place


class RefundImage(NamedTuple):
    """A refund as a commit left it."""

    id: str
    payment_id: str
    tenant_id: str
    merchant_id: str
    state: str
    currency: str
    amount: int
    fee_refunded: int
    created_at: int
    place: Place


class TransferRow(NamedTuple):
    """A movement of money; `event_index` is its place among the events of its commit."""

    id: str
    source_account_id: str
    destination_account_id: str
    amount: int
    currency: str
    reason: str
    payment_id: str
    refund_id: str
    description: str
    remote_account_id: str
    source_posted_after: int
    destination_posted_after: int
    event_index: int
    place: Place


class AccountImage(NamedTuple):
    """An account as a commit left it."""

    id: str
    tenant_id: str
    user_id: str
    kind: str
    currency: str
    state: str
    posted: int
    held: int
    version: int
    place: Place


class MerchantImage(NamedTuple):
    """A merchant as a commit left it, with the accounts that it settles to."""

    id: str
    tenant_id: str
    reference: str
    display_name: str
    account_ids: tuple[str, ...]
    version: int
    place: Place


@dataclass
class Records:
    """What some commits say, in their order."""

    payments: list[PaymentImage] = field(default_factory=list)
    refunds: list[RefundImage] = field(default_factory=list)
    transfers: list[TransferRow] = field(default_factory=list)
    accounts: list[AccountImage] = field(default_factory=list)
    merchants: list[MerchantImage] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    """The commits themselves; several records may be of one."""
