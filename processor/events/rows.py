"""A journal row as the relay reads it: what of its body becomes events."""

from typing import Final, NamedTuple

import msgspec

from kit import frames
from processor.domain.accounts import Account
from processor.domain.draft import Event
from processor.domain.legs import Kind
from processor.domain.merchants import Merchant
from processor.domain.payments import Payment, Refund
from processor.domain.transfers import Transfer
from processor.events.ports import Row


class BadRow(Exception):
    """A body that is not one: damaged, or of a version that is not known here."""


class Sent(NamedTuple):
    """A leg that was sent to another shard."""

    destination: str
    number: int
    transfer_id: str
    payment_id: str
    text: str


class Taken(NamedTuple):
    """A leg that came from another shard, and what came of it."""

    source: str
    number: int
    transfer_id: str
    payment_id: str
    remote_account_id: str
    outcome: str
    text: str


class Crossed(msgspec.Struct):
    """What a batch did towards other shards, or because of them."""

    sent: list[Sent]
    received: list[Taken]
    settled: list[Refund]


class Body(msgspec.Struct):
    """What of a body is told. Copies of what moves here are not: their own shard told of them."""

    v: int
    accounts: list[Account]
    payments: list[Payment]
    merchants: list[Merchant]
    transfers: list[Transfer]
    refunds: list[Refund]
    events: list[Event]
    # Read only where an event is about a key.
    keys: msgspec.Raw
    crossed: Crossed | None = None


class KeyRecord(NamedTuple):
    """What the journal keeps of a request key."""

    tenant_id: str
    request_id: str
    method: str
    fingerprint: str
    resource_id: str
    outcome_digest: str


_decode: Final = msgspec.json.Decoder(Body).decode
_decode_keys: Final = msgspec.json.Decoder(list[KeyRecord]).decode


def body_of(row: Row) -> Body:
    """Return what a row says. Raises BadRow."""
    try:
        return _decode(frames.unpack(row.body))
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadRow(f"{row.shard}: row {row.seq}: {type(error).__name__}") from None


def tenant_of_key(body: Body, request_id: str) -> str:
    """Return whose a request key is that the batch wrote; empty when it wrote none such."""
    for key in _decode_keys(body.keys):
        if key.request_id == request_id:
            return key.tenant_id
    return ""


class _LegHead(msgspec.Struct):
    """What events need of a leg; every other field is passed over."""

    kind: str
    account_id: str = ""


_decode_leg: Final = msgspec.json.Decoder(_LegHead).decode


def account_of_leg(text: str) -> str:
    """Return the account on the other shard that a leg is for."""
    return _decode_leg(text).account_id


def releases(body: Body) -> list[tuple[str, int]]:
    """Return the legs, by source and number, with which buckets came here (R20)."""
    if body.crossed is None:
        return []
    return [
        (one.source, one.number)
        for one in body.crossed.received
        if _decode_leg(one.text).kind == Kind.BUCKETS
    ]
