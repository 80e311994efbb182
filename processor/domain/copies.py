"""Copies of what another shard has of a bucket, brought here before the bucket is.

A copy is no truth: nothing here looks at it before the bucket is this shard's, so whatever the
source says takes its place. How far the copy is, is written with its rows.
"""

from typing import NamedTuple

from processor.domain import ids
from processor.domain.payments import Payment, Refund
from processor.domain.place import Place
from processor.domain.view import TOMBSTONE, Key, Position, View


class CopiedKey(NamedTuple):
    """A request key and when its first call was answered, in µs since 1970."""

    key: Key
    created_at: int


class CopiedLeg(NamedTuple):
    """A leg with money of a payment, as it was sent; to be shown with the payment, not sent."""

    source: str
    destination: str
    number: int
    payment_id: str
    state: str
    """SUSPENSE where its money is known to lie there, else empty."""
    text: str
    created_at: int


class Page(NamedTuple):
    """Rows of a bucket (region, slash and its two characters) as they stand at their source.

    It continues a copy that is at `after`, or begins one anew, and brings it `to`.
    """

    bucket: str
    after: "Position | None"
    to: Position
    payments: "tuple[Payment, ...]"
    refunds: "tuple[Refund, ...]"
    legs: "tuple[CopiedLeg, ...]"
    keys: "tuple[CopiedKey, ...]"


class Copied(NamedTuple):
    """What of a page is not here yet, with the keys whose place it takes."""

    bucket: str
    position: Position
    payments: "tuple[Payment, ...]" = ()
    refunds: "tuple[Refund, ...]" = ()
    legs: "tuple[CopiedLeg, ...]" = ()
    keys: "tuple[CopiedKey, ...]" = ()
    outdated_keys: "tuple[tuple[str, str], ...]" = ()

    def changes(self, known: Position | None) -> bool:
        """Say whether there is anything to write, where the copy is at `known`."""
        return self.position != known or bool(self.payments or self.refunds or self.keys)


def take(view: View, place: Place, page: Page) -> Copied | None:
    """Return what a page changes here; None if it does not continue what is here.

    A bucket that is this shard's own takes no copies: what is here is the truth.
    """
    if is_here(page.bucket, place) or (
        page.after is not None and page.after != view.copied(page.bucket)
    ):
        return None
    keys: list[CopiedKey] = []
    outdated: list[tuple[str, str]] = []
    for one in page.keys:
        known = view.key(one.key.tenant_id, one.key.request_id)
        if known is not None:
            # One request_id may have been used on both shards (R15): each keeps its own.
            if known == one.key or _is_own(known, place):
                continue
            outdated.append((known.tenant_id, known.request_id))
        keys.append(one)
    payments = [one for one in page.payments if view.payment(one.id) != one]
    changed = {one.id for one in payments}
    return Copied(
        page.bucket,
        page.to,
        tuple(payments),
        tuple([one for one in page.refunds if view.refund(one.id) != one]),
        # What this shard sent itself, before the payment left, it has.
        tuple(
            [one for one in page.legs if one.payment_id in changed and one.source != place.shard]
        ),
        tuple(keys),
        tuple(outdated),
    )


def is_here(bucket: str, place: Place) -> bool:
    """Say whether a bucket is the shard's own."""
    return place.homes is None or place.homes.get(bucket) == place.shard


def reaches(known: Position | None, source: str, wanted: str) -> bool:
    """Say whether a copy is as far as the commit that its source names, written as `written`."""
    incarnation, _, seq = wanted.partition(".")
    if known is None or known.source != source or known.place:
        return False
    return known.seq > int(seq) or (known.seq, known.incarnation) == (int(seq), incarnation)


def written(position: Position) -> str:
    """Return the commit that a position names, as a leg carries it."""
    return f"{position.incarnation}.{position.seq}"


def home_of_key(key: Key) -> str:
    """Return region, slash and bucket of what a key leads to; empty when it leads to nothing."""
    resource = key.resource_id
    return ids.home_of_id(resource.partition(" ")[0] if key.method == TOMBSTONE else resource)


def _is_own(key: Key, place: Place) -> bool:
    home = home_of_key(key)
    return not home or is_here(home, place)
