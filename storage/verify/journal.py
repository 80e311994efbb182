"""The journal as verify reads it: the bodies decoded, the chain of hashes walked (R17)."""

from typing import Final, NamedTuple

import msgspec

from kit import frames
from processor.domain.chain import GENESIS, VERSION, chain
from processor.domain.copies import CopiedLeg
from processor.domain.draft import Event
from processor.domain.legs import Received
from processor.domain.merchants import Merchant
from processor.domain.ownership import Buckets
from processor.domain.payments import Payment, Refund
from processor.domain.transfers import Transfer
from processor.domain.view import Position
from processor.ports import SentLeg
from storage.verify.report import Head, Tally, differs, row


class Anchor(NamedTuple):
    """A journal row as it was seen before, kept where the database's owner cannot reach."""

    seq: int
    hash: bytes


class Lane(NamedTuple):
    """The lane that is recorded as the shard's owner."""

    shard: str
    epoch: int
    incarnation: str


class JournalRow(NamedTuple):
    """A row of the journal."""

    seq: int
    epoch: int
    incarnation: str
    body: bytes
    previous_hash: bytes
    hash: bytes
    created_at: int


class KeyRecord(msgspec.Struct, array_like=True, frozen=True):
    """What the journal keeps of a request key."""

    tenant_id: str
    request_id: str
    method: str
    fingerprint: str
    resource_id: str
    outcome_digest: str


class CopiedKeys(msgspec.Struct):
    """Request keys that came from another shard, with the time of each there."""

    keys: list[tuple[KeyRecord, int]]


class Copied(CopiedKeys, forbid_unknown_fields=True):
    """Rows of buckets that were still other shards', and how far their copies were by that."""

    positions: list[tuple[str, Position]]
    payments: list[Payment]
    refunds: list[Refund]
    legs: list[CopiedLeg]


class Keys(msgspec.Struct):
    """Only what a body says of request keys."""

    keys: list[KeyRecord]
    deleted_keys: list[tuple[str, str]]
    copied: CopiedKeys | None = None


class Crossed(msgspec.Struct, forbid_unknown_fields=True):
    """What a batch did towards other shards, or because of them."""

    sent: list[SentLeg]
    received: list[Received]
    suspended: list[tuple[str, int]]
    acknowledged: list[tuple[str, int]]
    settled: list[Refund]


class Body(Keys, forbid_unknown_fields=True, kw_only=True):
    """All that a batch wrote. Accounts stay raw: only the newest image of each is kept."""

    v: int
    accounts: list[msgspec.Raw]
    payments: list[Payment]
    merchants: list[Merchant]
    transfers: list[Transfer]
    refunds: list[Refund]
    events: list[Event]
    crossed: Crossed | None = None
    buckets: Buckets | None = None
    copied: Copied | None = None


_decode: Final = msgspec.json.Decoder(Body).decode
_decode_keys: Final = msgspec.json.Decoder(Keys).decode

WHY_LINK: Final = "hash of the row before"
WHY_HASH: Final = "SHA-256 of the row; the next row confirms it, so the hash was altered"
WHY_BODY: Final = (
    "SHA-256 of the row; the next row confirms the stored hash, so body, epoch, incarnation or"
    " created_at was altered"
)
WHY_EITHER: Final = "SHA-256 of the row"


def keys_of(body: bytes) -> Keys | None:
    """Return what a body says of request keys; None when it cannot be read."""
    try:
        return _decode_keys(frames.unpack(body))
    except ValueError:  # As what msgspec raises is, too.
        return None


class ChainCheck:
    """Walks the rows in order: no gap, every hash right, every link right, nothing goes back."""

    def __init__(self, lane: Lane, anchors: tuple[Anchor, ...]) -> None:
        self.tally = Tally("journal chain", "R17")
        self.lane = lane
        self._anchors = {anchor.seq: anchor.hash for anchor in anchors}
        self._before: JournalRow | None = None
        self._computed = GENESIS

    def step(self, after: JournalRow) -> Body | None:
        """Check a row and return its body, None when that cannot be read."""
        self.tally.rows += 1
        before = self._before
        expected = (before.seq if before else 0) + 1
        if after.seq == expected:
            linked_to = self._link(before, after)
        else:
            self._missing(expected, after.seq - 1)
            self._confirm(before, None)
            linked_to = after.previous_hash
        if before is not None:
            self._order(before, after)
        self._anchor(after)
        self._before, self._computed = after, self._hash(linked_to, after)
        return self._body(after)

    def finish(self) -> Head:
        """Check what only the end shows, and return the newest row."""
        last = self._before
        self._confirm(last, None)
        if last is None:
            head = Head(self.lane.shard, self.lane.epoch, self.lane.incarnation, 0, GENESIS.hex())
        else:
            if (last.epoch, last.incarnation) != self.lane[1:] and last.epoch >= self.lane.epoch:
                where = row("lanes", shard=self.lane.shard)
                self.tally.breach(
                    f"{where}: epoch is {self.lane.epoch} of {self.lane.incarnation}, expected at"
                    f" least {last.epoch} of {last.incarnation} (journal seq={last.seq})"
                )
            head = Head(self.lane.shard, last.epoch, last.incarnation, last.seq, last.hash.hex())
        for seq, digest in self._anchors.items():
            where = row("journal", seq=seq)
            self.tally.breach(f"{where}: is missing, expected hash {digest.hex()} (anchor)")
        return head

    def _missing(self, first: int, last: int) -> None:
        for seq in range(first, last + 1):
            if self.tally.full:
                break
            self.tally.breach(f"{row('journal', seq=seq)}: is missing")

    def _link(self, before: JournalRow | None, after: JournalRow) -> bytes:
        """Check the link between two rows, which also tells what of the first was altered."""
        where = row("journal", seq=after.seq)
        if before is None:
            if after.previous_hash != GENESIS:
                self.tally.breach(
                    differs(where, "previous_hash", after.previous_hash, GENESIS, "first row")
                )
            return after.previous_hash
        if self._confirm(before, after) and after.previous_hash != before.hash:
            self.tally.breach(
                differs(where, "previous_hash", after.previous_hash, before.hash, WHY_LINK)
            )
            if self._hash(before.hash, after) == after.hash:
                return before.hash  # Only the link was altered: one breach is enough.
        return after.previous_hash

    def _confirm(self, last: JournalRow | None, after: JournalRow | None) -> bool:
        """Compare a row's hash with the computed one; the row after it tells which is false."""
        if last is None or last.hash == self._computed:
            return True
        why = WHY_EITHER
        if after is not None and after.previous_hash == self._computed:
            why = WHY_HASH
        elif after is not None and after.previous_hash == last.hash:
            why = WHY_BODY
        where = row("journal", seq=last.seq)
        self.tally.breach(differs(where, "hash", last.hash, self._computed, why))
        return False

    def _order(self, before: JournalRow, after: JournalRow) -> None:
        where, why = row("journal", seq=after.seq), f"seq={before.seq} has it"
        if after.epoch < before.epoch:
            self.tally.breach(f"{where}: epoch is {after.epoch}, expected {before.epoch} or more")
        elif after.epoch == before.epoch and after.incarnation != before.incarnation:
            self.tally.breach(
                differs(where, "incarnation", after.incarnation, before.incarnation, why)
            )
        if after.created_at < before.created_at:
            self.tally.breach(
                differs(
                    where, "created_at", after.created_at, before.created_at, why + ": or later"
                )
            )

    def _anchor(self, after: JournalRow) -> None:
        expected = self._anchors.pop(after.seq, after.hash)
        if expected != after.hash:
            where = row("journal", seq=after.seq)
            self.tally.breach(differs(where, "hash", after.hash, expected, "anchor"))

    def _hash(self, previous_hash: bytes, after: JournalRow) -> bytes:
        return chain(
            previous_hash,
            after.body,
            shard=self.lane.shard,
            seq=after.seq,
            epoch=after.epoch,
            incarnation=after.incarnation,
            now=after.created_at,
        )

    def _body(self, after: JournalRow) -> Body | None:
        where = row("journal", seq=after.seq)
        try:
            body = _decode(frames.unpack(after.body))
        except ValueError as error:  # As what msgspec raises is, too.
            self.tally.breach(f"{where}: body cannot be read ({error})")
            return None
        if body.v != VERSION:
            self.tally.breach(differs(where, "body's version", body.v, VERSION, "known here"))
            return None
        return body
