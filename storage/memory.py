"""A shard in memory: a real double of the Postgres one, with the same refusals. For tests."""

import secrets
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from processor.domain import ids
from processor.domain.accounts import LIMIT, Account
from processor.domain.chain import GENESIS
from processor.domain.copies import CopiedKey, CopiedLeg, Page, home_of_key
from processor.domain.legs import Received
from processor.domain.merchants import Merchant
from processor.domain.ownership import Buckets
from processor.domain.payments import Payment, Refund, RefundState
from processor.domain.transfers import Transfer
from processor.domain.view import TOMBSTONE, Item, Key, Position
from processor.ports import (
    Batch,
    Changed,
    Conflict,
    CopiedRows,
    Crossed,
    Due,
    Fenced,
    KeyTaken,
    Loaded,
    Opened,
    Ownership,
    Rejected,
    Route,
    SentLeg,
    Unavailable,
    Value,
)

_Row = TypeVar("_Row", Account, Payment, Merchant)


class StoredLeg(NamedTuple):
    """A leg that was sent; its state is SUSPENSE once its money is known to lie there."""

    leg: SentLeg
    state: str


class Database:
    """What survives a lane: rows by key. Stores may share one, as processors share a shard."""

    def __init__(self, clock: Callable[[], int] = lambda: time.time_ns() // 1_000) -> None:
        self.clock = clock
        self.ownership: Ownership | None = None
        self.locked_by: MemoryLaneStore | None = None
        self.accounts: dict[str, Account] = {}
        self.payments: dict[str, Payment] = {}
        self.merchants: dict[str, Merchant] = {}
        self.transfers: dict[str, Transfer] = {}
        self.refunds: dict[str, Refund] = {}
        self.keys: dict[tuple[str, str], tuple[Key, int]] = {}
        self.legs_sent: dict[str, list[StoredLeg]] = {}
        self.legs_received: dict[str, list[Received]] = {}
        self.legs_acknowledged: dict[str, int] = {}
        self.buckets: Buckets | None = None
        self.copies: dict[str, Position] = {}
        self.legs_moved: dict[tuple[str, str, int], CopiedLeg] = {}
        self.journal: list[Batch] = []


class MemoryLaneStore:
    """One shard in memory. Implements processor.ports.LaneStorage."""

    def __init__(self, database: Database, shard: str) -> None:
        self._database = database
        self._shard = shard

    async def open(self, owner: str, *, evict: bool) -> Opened:
        """Take the lane over."""
        database = self._database
        recorded = database.ownership
        ours = recorded is not None and recorded.owner == owner
        if database.locked_by not in (None, self) and not evict and not ours:
            raise Unavailable("another owner holds the lane")
        database.locked_by = self
        database.ownership = Ownership(
            self._shard, recorded.epoch + 1 if recorded else 1, owner, secrets.token_hex(6)
        )
        head = database.journal[-1] if database.journal else None
        return Opened(
            database.ownership,
            head.seq if head else 0,
            head.hash if head else GENESIS,
            database.clock(),
            head.now if head else 0,
            database.buckets,
        )

    async def load(self, items: Sequence[Item]) -> Loaded:
        """Return committed state for the items."""
        self._require_lock()
        holds: dict[str, dict[str, int]] = {}
        wanted = {item.id for item in items if item.kind == "account"}
        for payment in self._database.payments.values():
            if payment.capturable and payment.payer_account_id in wanted:
                assert payment.hold_expires_at is not None
                of_account = holds.setdefault(payment.payer_account_id, {})
                of_account[payment.id] = payment.hold_expires_at
        return Loaded({item: self._value(item) for item in items}, holds)

    def prepare(self, ownership: Ownership, batch: Batch) -> None:
        """Nothing can be done ahead."""

    async def apply(self, ownership: Ownership, batch: Batch) -> None:
        """Commit a batch, all or nothing."""
        await self.check(ownership)
        database = self._database
        head = database.journal[-1] if database.journal else None
        if (head.seq + 1, head.hash) != (batch.seq, batch.previous_hash) if head else batch.seq > 1:
            raise Conflict("the journal row does not follow")
        _check_buckets(database.buckets, batch)
        _check_versions(database.accounts, batch.accounts)
        _check_versions(database.payments, batch.payments)
        _check_versions(database.merchants, batch.merchants)
        self._check_keys(batch)
        if batch.copied is not None:
            _check_versions(database.payments, batch.copied.payments)
        if batch.crossed is not None:
            self._check_crossed(batch.crossed)
        for _, account in batch.accounts:
            _check_account(account)
        database.accounts.update({row.id: row for _, row in batch.accounts})
        database.payments.update({row.id: row for _, row in batch.payments})
        database.merchants.update({row.id: row for _, row in batch.merchants})
        database.transfers.update({row.id: row for row in batch.transfers})
        database.refunds.update({row.id: row for row in batch.refunds})
        for key, fulfils in batch.keys:
            place = (key.tenant_id, key.request_id)
            database.keys[place] = (key, database.keys[place][1] if fulfils else batch.now)
        for place in batch.deleted_keys:
            del database.keys[place]
        if batch.copied is not None:
            self._copy(batch.copied)
        if batch.crossed is not None:
            self._cross(batch.crossed)
        if batch.buckets is not None:
            database.buckets = batch.buckets
        database.journal.append(batch)

    async def check(self, ownership: Ownership) -> None:
        """Return if the lane is still owned."""
        self._require_lock()
        if self._database.ownership != ownership:
            raise Fenced("lane is owned by another")

    async def due(self, now: int, keys_older_than: int, limit: int) -> Due:
        """Return work for the lane's housekeeping."""
        self._require_lock()
        expired = {
            payment.payer_account_id
            for payment in self._database.payments.values()
            if payment.capturable
            and (payment.hold_expires_at or now + 1) <= now
            and payment.payer_account_id in self._database.accounts
            and self._database.accounts[payment.payer_account_id].held
        }
        old = [
            place
            for place, (_, stored_at) in self._database.keys.items()
            if stored_at < keys_older_than
        ]
        return Due(sorted(expired)[:limit], old[:limit], self._database.clock())

    async def routes(self) -> Sequence[Route]:
        """Return every destination that legs were ever sent to."""
        self._require_lock()
        acknowledged = self._database.legs_acknowledged
        return [
            Route(destination, len(legs), acknowledged.get(destination, 0))
            for destination, legs in self._database.legs_sent.items()
        ]

    async def legs(self, destination: str, after: int, limit: int) -> Sequence[tuple[int, str]]:
        """Return legs sent with numbers above one, in their order."""
        self._require_lock()
        found = self._database.legs_sent.get(destination, [])[after : after + limit]
        return [(leg.number, leg.text) for leg, _ in found]

    async def hash_of(self, seq: int) -> bytes | None:
        """Return the hash of a commit, None if there is no such one."""
        self._require_lock()
        journal = self._database.journal
        return journal[seq - 1].hash if 0 < seq <= len(journal) else None

    async def has_users(self, region: str, buckets: Sequence[str], since: int) -> bool:
        """Say whether an account or merchant made since then is in one of these buckets."""
        self._require_lock()
        made = [(one.id, one.created_at) for one in self._database.accounts.values()]
        made += [(one.id, one.created_at) for one in self._database.merchants.values()]
        homes = {f"{region}/{name}" for name in buckets}
        return any(ids.home_of_id(id_) in homes and at >= since for id_, at in made)

    async def accounts_in(self, region: str, bucket: str, since: int) -> Sequence[str]:
        """Return the ids of the accounts of a bucket that were opened since then."""
        self._require_lock()
        home = f"{region}/{bucket}"
        return [
            one.id
            for one in self._database.accounts.values()
            if ids.home_of_id(one.id) == home and one.created_at >= since
        ]

    async def copy_page(self, region: str, bucket: str, after: Position | None) -> Page:
        """Return all of a bucket: here no page is too large."""
        self._require_lock()
        database, home = self._database, f"{region}/{bucket}"
        head = database.journal[-1].seq if database.journal else 0
        assert database.ownership is not None
        to = Position(self._shard, database.ownership.incarnation, head, "")
        payments = [p for p in database.payments.values() if ids.home_of_id(p.id) == home]
        known = {payment.id for payment in payments}
        refunds = [refund for refund in database.refunds.values() if refund.payment_id in known]
        keys = [
            CopiedKey(key, created_at)
            for key, created_at in database.keys.values()
            if home_of_key(key) in ("", home)
        ]
        after = after if after is not None and after.source == self._shard else None
        legs = [leg for leg in database.legs_moved.values() if leg.payment_id in known]
        legs += [
            CopiedLeg(self._shard, *leg[:2], leg.payment_id, state, leg.text, 0)
            for sent in database.legs_sent.values()
            for leg, state in sent
            if leg.transfer_id and leg.payment_id in known
        ]
        return Page(home, after, to, tuple(payments), tuple(refunds), tuple(legs), tuple(keys))

    async def close(self) -> None:
        """Give the lane up."""
        if self._database.locked_by is self:
            self._database.locked_by = None

    def _require_lock(self) -> None:
        # A store whose session was ended finds its connection gone, as with Postgres.
        if self._database.locked_by is not self:
            raise Fenced("the session was ended")

    def _value(self, item: Item) -> Value:
        database = self._database
        match item.kind:
            case "account":
                return database.accounts.get(item.id)
            case "payment":
                return database.payments.get(item.id)
            case "merchant":
                return database.merchants.get(item.id)
            case "key":
                stored = database.keys.get((item.tenant_id, item.id))
                return stored[0] if stored else None
            case "reference":
                place = (item.tenant_id, item.id)
                for merchant in database.merchants.values():
                    if (merchant.tenant_id, merchant.reference) == place:
                        return merchant.id
                return None
            case "refund":
                return database.refunds.get(item.id)
            case "sent":
                return len(database.legs_sent.get(item.id, ()))
            case "received":
                return len(database.legs_received.get(item.id, ()))
            case "copy":
                return database.copies.get(item.id)

    def _copy(self, copied: CopiedRows) -> None:
        database = self._database
        database.copies.update(copied.positions)
        database.payments.update({row.id: row for _, row in copied.payments})
        database.refunds.update({row.id: row for _, row in copied.refunds})
        for leg in copied.legs:
            database.legs_moved[leg.source, leg.destination, leg.number] = leg
        for key, created_at in copied.keys:
            database.keys[key.tenant_id, key.request_id] = (key, created_at)

    def _check_keys(self, batch: Batch) -> None:
        keys = self._database.keys
        for key, fulfils in batch.keys:
            known = keys.get((key.tenant_id, key.request_id))
            if known is not None and not fulfils:
                raise KeyTaken(key.request_id)
            if fulfils and (known is None or known[0].method != TOMBSTONE):
                raise Conflict("a request key is missing or taken")
        if any(place not in keys for place in batch.deleted_keys):
            raise Conflict("a request key is missing or taken")

    def _check_crossed(self, crossed: Crossed) -> None:
        database = self._database
        sent = {name: len(legs) for name, legs in database.legs_sent.items()}
        for leg in crossed.sent:
            if leg.number != sent.get(leg.destination, 0) + 1:
                raise Conflict("a leg that is sent does not follow")
            sent[leg.destination] = leg.number
        received = {name: len(legs) for name, legs in database.legs_received.items()}
        for one in crossed.received:
            if one.number != received.get(one.source, 0) + 1:
                raise Conflict("a leg that is received does not follow")
            received[one.source] = one.number
        for destination, number in (*crossed.suspended, *crossed.acknowledged):
            if not 0 < number <= sent.get(destination, 0):
                raise Conflict("a leg was never sent")
        for refund in crossed.settled:
            known = database.refunds.get(refund.id)
            if known is None or known.state != RefundState.PENDING:
                raise Conflict("a refund is not pending")

    def _cross(self, crossed: Crossed) -> None:
        database = self._database
        for leg in crossed.sent:
            database.legs_sent.setdefault(leg.destination, []).append(StoredLeg(leg, ""))
        for one in crossed.received:
            database.legs_received.setdefault(one.source, []).append(one)
        for destination, number in crossed.suspended:
            legs = database.legs_sent[destination]
            legs[number - 1] = legs[number - 1]._replace(state="SUSPENSE")
        for destination, number in crossed.acknowledged:
            before = database.legs_acknowledged.get(destination, 0)
            database.legs_acknowledged[destination] = max(before, number)
        database.refunds.update({refund.id: refund for refund in crossed.settled})


def _check_versions(rows: dict[str, _Row], changed: Sequence[Changed[_Row]]) -> None:
    for expected, row in changed:
        known = rows.get(row.id)
        if (known.version if known else 0) != expected:
            raise Conflict(f"{row.id} has another version")


def _check_buckets(known: Buckets | None, batch: Batch) -> None:
    version = known.version if known else 0
    if batch.buckets_version != version:
        raise Conflict("the shard has other buckets")
    if batch.buckets is not None and batch.buckets.version != version + 1:
        raise Conflict("the shard has other buckets")


def _check_account(account: Account) -> None:
    if account.floor is not None and account.posted - account.held < account.floor:
        raise Rejected("accounts_available_above_floor")
    if account.held < 0 or not -LIMIT <= account.posted <= LIMIT:
        raise Rejected("accounts_within_limit")
