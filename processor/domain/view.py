"""What a decision may look at: accounts, payments, merchants, request keys, as they stand now."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from processor.domain.accounts import Account
from processor.domain.merchants import Merchant
from processor.domain.payments import Payment, Refund

AUTHORIZE = "AUTHORIZE_PAYMENT"
"""Method of a key that leads to the payment it authorized."""

TOMBSTONE = "TOMBSTONE"
"""Method of a key whose original was reversed before it arrived."""


class Key(NamedTuple):
    """What is stored of a request: its fingerprint and the answer it got."""

    tenant_id: str
    request_id: str
    method: str
    fingerprint: bytes
    outcome: bytes
    resource_id: str


class Position(NamedTuple):
    """How far a copy is: all that the source had committed up to `seq`, once `place` is empty.

    The incarnation is that of the source's journal row `seq`, so that a lost history shows. Until
    then `place` says where the first walk through the source's tables stands.
    """

    source: str
    incarnation: str
    seq: int
    place: str


class Item(NamedTuple):
    """Something a decision needs to know; tenant_id is set for keys and merchant references.

    Of a shard: the number of the last leg that was sent there, or received from there. Of a bucket:
    how far its copy is.
    """

    kind: Literal[
        "account", "payment", "merchant", "key", "reference", "refund", "sent", "received", "copy"
    ]
    id: str
    tenant_id: str = ""


class View(Protocol):
    """State as of the decisions made so far. Each getter answers None for what does not exist."""

    def knows(self, item: Item) -> bool:
        """Say whether an item, existing or not, is in memory."""

    def account(self, account_id: str) -> Account | None:
        """Return an account."""

    def payment(self, payment_id: str) -> Payment | None:
        """Return a payment."""

    def merchant(self, merchant_id: str) -> Merchant | None:
        """Return a merchant."""

    def key(self, tenant_id: str, request_id: str) -> Key | None:
        """Return what is stored of a request."""

    def reference(self, tenant_id: str, reference: str) -> str | None:
        """Return the id of the merchant with a reference."""

    def refund(self, refund_id: str) -> Refund | None:
        """Return a refund."""

    def sent(self, shard: str) -> int:
        """Return the number of the last leg that was sent to a shard; 0 before the first."""

    def received(self, shard: str) -> int:
        """Return the number of the last leg that was received from a shard."""

    def copied(self, bucket: str) -> Position | None:
        """Return how far the copy of another shard's bucket is."""

    def holds_count(self, account_id: str) -> int:
        """Return the number of open holds of an account."""

    def due_holds(self, account_id: str, now: int) -> Sequence[str]:
        """Return the payments whose holds on an account have run out."""
