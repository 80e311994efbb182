"""What goes from one shard to another: legs of money and the answers to them."""

from typing import Final, NamedTuple

from processor.domain.accounts import Account
from processor.domain.merchants import Merchant
from processor.domain.names import Name
from processor.domain.payments import Refund


class Kind(Name):
    """What a leg asks of the shard that it goes to."""

    CAPTURE = "CAPTURE"
    """Credit a merchant with what a payment captured, and charge the fee there."""
    TRANSFER = "TRANSFER"
    """Credit an account."""
    REFUND_DEBIT = "REFUND_DEBIT"
    """Take a refund from the merchant and send it back, or say why not."""
    REFUND_CREDIT = "REFUND_CREDIT"
    """Credit the payer with what the merchant gave, and end the refund."""
    REFUND_FAILED = "REFUND_FAILED"
    """End the refund: the merchant's account did not give."""
    SUSPENSE = "SUSPENSE"
    """Take note that money of one of your legs lies in suspense here."""
    MERCHANT = "MERCHANT"
    """Keep a copy of a merchant."""
    ACCOUNT = "ACCOUNT"
    """Have this account with its money, whose bucket comes after it."""
    BUCKETS = "BUCKETS"
    """Own these buckets from now on: they are no longer this shard's."""


MONEY: Final = frozenset({Kind.CAPTURE, Kind.TRANSFER, Kind.REFUND_CREDIT, Kind.ACCOUNT})
"""Kinds that were debited where they come from and are credited where they go to; an account below
zero the other way round."""


class Outcome(Name):
    """What came of a leg."""

    POSTED = "POSTED"
    SUSPENSE = "SUSPENSE"
    REFUSED = "REFUSED"
    NOTED = "NOTED"
    SENT_ON = "SENT_ON"


class Leg(NamedTuple):
    """The next thing that one shard sends another. Minor units, µs since 1970.

    Fields that a kind has no use for are empty or 0.
    """

    source: str
    destination: str
    number: int
    """Counted per source and destination from 1, without a gap."""
    kind: str
    created_at: int
    tenant_id: str
    account_id: str = ""
    """The account there that gets or gives."""
    remote_account_id: str = ""
    """The account here, on the other side of what happens."""
    amount: int = 0
    currency: str = ""
    fee: int = 0
    """The part of the amount that is the fee, charged or given back where the merchant is."""
    transfer_id: str = ""
    """The transfer here that debited it."""
    payment_id: str = ""
    refund_id: str = ""
    description: str = ""
    reason: str = ""
    """Of a transfer its reason, of a refund that failed the reason of the refusal."""
    concerning: int = 0
    """Number of the leg, sent by the shard that this one goes to, whose money is in suspense."""
    buckets: tuple[int, int] | None = None
    """The first and the last bucket that change hands."""
    copied: str = ""
    """The commit here up to which all rows of the bucket must be copied before it is taken."""
    account: Account | None = None
    """An account as it left, with its balance and what is held of it."""
    hops: tuple[tuple[str, int], ...] = ()
    """Legs, by source and number, as which it came here before it was sent on, the first first."""
    merchant: Merchant | None = None


class Received(NamedTuple):
    """A leg that was taken in, and what came of it."""

    source: str
    number: int
    transfer_id: str
    """The transfer that it made here; empty when it moved nothing."""
    payment_id: str
    remote_account_id: str
    outcome: str
    text: str
    """The leg as it came."""


class Crossing(NamedTuple):
    """What a decision does towards other shards, or because of them."""

    sent: tuple[Leg, ...] = ()
    received: Received | None = None
    suspended: tuple[tuple[str, int], ...] = ()
    """Legs of ours, by destination and number, whose money lies in suspense there."""
    acknowledged: tuple[tuple[str, int], ...] = ()
    """Up to which number a destination has confirmed."""
    settled: tuple[Refund, ...] = ()
    """Refunds that were pending and are no longer."""
