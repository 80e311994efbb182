"""A batch while commands are still being decided into it, until it is sealed or undone."""

from processor import journal, legs
from processor.cache import Cache
from processor.domain.context import Context
from processor.domain.copies import Copied, CopiedKey, CopiedLeg
from processor.domain.draft import Changes, Event
from processor.domain.legs import Crossing, Received
from processor.domain.ownership import Buckets
from processor.domain.payments import Refund
from processor.domain.transfers import Transfer
from processor.domain.view import TOMBSTONE, Item, Key, Position
from processor.entries import Entry, Reply
from processor.ports import (
    Batch,
    Changed,
    CopiedRows,
    Crossed,
    Opened,
    SentLeg,
    StoredKey,
)


class _Crossed:
    """Collects what a batch does towards other shards; most batches have none."""

    def __init__(self) -> None:
        self.sent: list[SentLeg] = []
        self.received: list[Received] = []
        self.suspended: list[tuple[str, int]] = []
        self.acknowledged: dict[str, int] = {}
        self.settled: list[Refund] = []

    def record(self) -> Crossed:
        """Return it as it is to be committed."""
        return Crossed(
            self.sent,
            self.received,
            self.suspended,
            list(self.acknowledged.items()),
            self.settled,
        )

    def touched(self) -> set[Item]:
        """Return every item that it changes."""
        touched = {Item("sent", leg.destination) for leg in self.sent}
        touched |= {Item("received", one.source) for one in self.received}
        touched |= {Item("refund", refund.id) for refund in self.settled}
        return touched


class _Copied:
    """Collects rows of buckets that are still other shards'; nearly no batch has any."""

    def __init__(self) -> None:
        self.positions: dict[str, Position] = {}
        self.payments: dict[str, int] = {}
        self.refunds: dict[str, int] = {}
        self.legs: dict[tuple[str, str, int], CopiedLeg] = {}
        self.keys: dict[tuple[str, str], CopiedKey] = {}

    def record(self, cache: Cache) -> CopiedRows:
        """Return it as it is to be committed."""
        return CopiedRows(
            list(self.positions.items()),
            [
                Changed(expected, payment)
                for name, expected in self.payments.items()
                if (payment := cache.payment(name)) is not None
            ],
            [
                Changed(expected, refund)
                for name, expected in self.refunds.items()
                if (refund := cache.refund(name)) is not None
            ],
            list(self.legs.values()),
            list(self.keys.values()),
        )

    def touched(self) -> set[Item]:
        """Return every item that it changes."""
        touched = {Item("copy", bucket) for bucket in self.positions}
        touched |= {Item("payment", name) for name in self.payments}
        touched |= {Item("refund", name) for name in self.refunds}
        touched |= {Item("key", name, tenant_id) for tenant_id, name in self.keys}
        return touched


class OpenBatch:
    """Collects what decisions change. The cache shows it at once; `undo` makes it forget it."""

    def __init__(self, cache: Cache, context: Context, opened: Opened, seq: int) -> None:
        ownership = opened.ownership
        self.context = context
        self.seq = seq
        self.read_token = f"{ownership.shard}.{ownership.incarnation}.{seq}"
        self.replies: list[tuple[Entry, Reply]] = []
        self.size = 0
        self.background = 0  # Commands of the background among them.
        self.holds_expired = 0
        self._ownership = ownership
        self._cache = cache
        # By id: the version that a row must have had, 0 for a new one.
        self._accounts: dict[str, int] = {}
        self._payments: dict[str, int] = {}
        self._merchants: dict[str, int] = {}
        self._keys: dict[tuple[str, str], StoredKey] = {}
        self._transfers: list[Transfer] = []
        self._refunds: list[Refund] = []
        self._deleted_keys: list[tuple[str, str]] = []
        self._events: list[Event] = []
        self._crossed: _Crossed | None = None
        self._copied: _Copied | None = None
        self.buckets_version = 0
        self.buckets: Buckets | None = None
        self._sealed: Batch | None = None

    @property
    def writes(self) -> bool:
        """Whether there is anything to commit."""
        return bool(
            self._accounts
            or self._payments
            or self._merchants
            or self._keys
            or self._transfers
            or self._deleted_keys
            or self._crossed is not None
            or self._copied is not None
            or self.buckets is not None
        )

    def answer(self, entry: Entry, reply: Reply) -> None:
        """Keep a reply until the batch is committed."""
        entry.decided = True
        self.size += entry.size
        self.replies.append((entry, reply))

    def absorb(self, changes: Changes) -> None:
        """Let a decision have happened."""
        cache = self._cache
        for account in changes.accounts:
            before = cache.put_account(account)
            if account.id not in self._accounts:
                self._accounts[account.id] = before.version if before else 0
        for payment in changes.payments:
            earlier = cache.put_payment(payment)
            if payment.id not in self._payments:
                self._payments[payment.id] = earlier.version if earlier else 0
        for merchant in changes.merchants:
            former = cache.put_merchant(merchant)
            if merchant.id not in self._merchants:
                self._merchants[merchant.id] = former.version if former else 0
        self._transfers += changes.transfers
        self._refunds += changes.refunds
        self._events += changes.events
        for tenant_id, request_id, original in changes.tombstones:
            self.store(Key(tenant_id, request_id, TOMBSTONE, b"", b"", original))
        for place in changes.deleted_keys:
            cache.drop_key(place)
        self._deleted_keys += changes.deleted_keys
        if changes.crossing is not None:
            self._cross(changes.crossing)
        if changes.copied is not None:
            self._copy(changes.copied)

    def _copy(self, new: Copied) -> None:
        copied, cache = self._copied, self._cache
        if copied is None:
            copied = self._copied = _Copied()
        cache.put_position(new.bucket, new.position)
        copied.positions[new.bucket] = new.position
        for payment in new.payments:
            before = cache.put_copy(payment)
            copied.payments.setdefault(payment.id, before.version if before else 0)
        for refund in new.refunds:
            copied.refunds.setdefault(refund.id, int(cache.refund(refund.id) is not None))
            cache.put_refund(refund)
        for leg in new.legs:
            copied.legs[leg.source, leg.destination, leg.number] = leg
        for one in new.keys:
            cache.put_key(one.key)
            copied.keys[one.key.tenant_id, one.key.request_id] = one

    def _cross(self, crossing: Crossing) -> None:
        crossed = self._crossed
        if crossed is None:
            crossed = self._crossed = _Crossed()
        for leg in crossing.sent:
            self._cache.put_sent(leg.destination, leg.number)
            crossed.sent.append(
                SentLeg(
                    leg.destination,
                    leg.number,
                    leg.transfer_id,
                    # What is sent on is shown by the shard that sent it first.
                    "" if leg.hops else leg.payment_id,
                    legs.encode(leg),
                )
            )
        received = crossing.received
        if received is not None:
            self._cache.put_received(received.source, received.number)
            crossed.received.append(received)
        for refund in crossing.settled:
            self._cache.put_refund(refund)
        crossed.settled += crossing.settled
        crossed.suspended += crossing.suspended
        for destination, number in crossing.acknowledged:
            crossed.acknowledged[destination] = max(
                number, crossed.acknowledged.get(destination, 0)
            )

    def store(self, key: Key) -> None:
        """Remember a request and its answer; a tombstone of the same request is fulfilled."""
        place = (key.tenant_id, key.request_id)
        before = self._cache.put_key(key)
        earlier = self._keys.get(place)
        assert before is None or before.method == TOMBSTONE
        # A tombstone of this very batch was never committed: there is nothing yet to replace.
        self._keys[place] = StoredKey(key, earlier.fulfils if earlier else before is not None)

    def seal(self, previous_hash: bytes) -> Batch:
        """Return what to commit; nothing more can be decided into the batch."""
        if self._sealed is None:
            self._sealed = journal.seal(
                self._batch(previous_hash),
                self._events,
                shard=self._ownership.shard,
                epoch=self._ownership.epoch,
                incarnation=self._ownership.incarnation,
            )
        assert self._sealed.previous_hash == previous_hash
        return self._sealed

    def undo(self) -> None:
        """Make the cache forget all that the batch touched: it will not be committed as it is."""
        self._cache.forget(self.touched())
        for entry, _ in self.replies:
            entry.decided = False

    def touched(self) -> set[Item]:
        """Return every item that the batch changes."""
        touched = {Item("account", name) for name in self._accounts}
        touched |= {Item("payment", name) for name in self._payments}
        touched |= {Item("merchant", name) for name in self._merchants}
        for name in self._merchants:
            if merchant := self._cache.merchant(name):
                touched.add(Item("reference", merchant.reference, merchant.tenant_id))
        touched |= {Item("key", name, tenant_id) for tenant_id, name in self._keys}
        touched |= {Item("key", name, tenant_id) for tenant_id, name in self._deleted_keys}
        if self._crossed is not None:
            touched |= self._crossed.touched()
        if self._copied is not None:
            touched |= self._copied.touched()
        return touched

    def _batch(self, previous_hash: bytes) -> Batch:
        cache = self._cache
        return Batch(
            seq=self.seq,
            previous_hash=previous_hash,
            hash=b"",
            body=b"",
            now=self.context.now,
            accounts=[
                Changed(expected, row)
                for name, expected in self._accounts.items()
                if (row := cache.account(name)) is not None
            ],
            payments=[
                Changed(expected, payment)
                for name, expected in self._payments.items()
                if (payment := cache.payment(name)) is not None
            ],
            merchants=[
                Changed(expected, merchant)
                for name, expected in self._merchants.items()
                if (merchant := cache.merchant(name)) is not None
            ],
            transfers=self._transfers,
            refunds=self._refunds,
            keys=list(self._keys.values()),
            deleted_keys=self._deleted_keys,
            crossed=None if self._crossed is None else self._crossed.record(),
            buckets_version=self.buckets_version,
            buckets=self.buckets,
            copied=None if self._copied is None else self._copied.record(cache),
        )
