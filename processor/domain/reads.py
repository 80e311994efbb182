"""What a reader gets beside the ledger's own nouns."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

Row = TypeVar("Row")


class Page(NamedTuple, Generic[Row]):
    """Rows newest first, and the id below which the next page begins; empty after the last page.

    A page may be shorter than asked for, even empty, and yet have a next one: a scan is bounded.
    """

    rows: Sequence[Row]
    next_before: str


class MoneySent(NamedTuple):
    """Money of a payment that went to another shard, as far as this one knows."""

    text: str
    """The leg as it was written down."""
    is_taken: bool
    """The other shard has confirmed it; behind the truth by less than a second."""
    is_suspended: bool
    """It lies in suspense there."""


class StoredRequest(NamedTuple):
    """What is stored of a call that changed something, and when, in µs since 1970."""

    method: str
    fingerprint: bytes
    outcome: bytes
    resource_id: str
    created_at: int


class ApiKey(NamedTuple):
    """An API key that is not revoked; the secret itself is known to its holder alone."""

    secret_hash: bytes
    tenant_id: str
    scopes: Sequence[str]
    merchant_id: str


class AsOf(NamedTuple):
    """How new an answer is: its newest commit, and at most how long ago that was all there was."""

    seq: int
    staleness_seconds: float
