"""State as of the decisions of one batch: changes laid over what is committed (R7)."""

from collections.abc import Sequence

from processor.cache import Cache, Holds
from processor.domain.accounts import Account
from processor.domain.draft import Changes, Event
from processor.domain.merchants import Merchant
from processor.domain.payments import HOLDING, Payment, Refund
from processor.domain.transfers import Transfer
from processor.domain.view import TOMBSTONE, Item, Key
from processor.ports import Batch, Changed, StoredKey


class Overlay:
    """A view in which the batch's earlier decisions have happened; dropped if not committed."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._accounts: dict[str, Account] = {}
        self._payments: dict[str, Payment] = {}
        self._merchants: dict[str, Merchant] = {}
        self._references: dict[tuple[str, str], str] = {}
        self._keys: dict[tuple[str, str], StoredKey] = {}
        self._holds: dict[str, Holds] = {}
        self._transfers: list[Transfer] = []
        self._refunds: list[Refund] = []
        self._deleted_keys: list[tuple[str, str]] = []
        self.events: list[Event] = []

    # The view.

    def knows(self, item: Item) -> bool:
        """Say whether an item, existing or not, is in memory."""
        if self._cache.knows(item):
            return True
        match item.kind:
            case "account":
                return item.id in self._accounts
            case "payment":
                return item.id in self._payments
            case "merchant":
                return item.id in self._merchants
            case "key":
                return (item.tenant_id, item.id) in self._keys
            case "reference":
                return (item.tenant_id, item.id) in self._references

    def account(self, account_id: str) -> Account | None:
        """Return an account."""
        return self._accounts.get(account_id) or self._cache.account(account_id)

    def payment(self, payment_id: str) -> Payment | None:
        """Return a payment."""
        return self._payments.get(payment_id) or self._cache.payment(payment_id)

    def merchant(self, merchant_id: str) -> Merchant | None:
        """Return a merchant."""
        return self._merchants.get(merchant_id) or self._cache.merchant(merchant_id)

    def key(self, tenant_id: str, request_id: str) -> Key | None:
        """Return what is stored of a request."""
        stored = self._keys.get((tenant_id, request_id))
        return stored.key if stored else self._cache.key(tenant_id, request_id)

    def reference(self, tenant_id: str, reference: str) -> str | None:
        """Return the id of the merchant with a reference."""
        return self._references.get((tenant_id, reference)) or self._cache.reference(
            tenant_id, reference
        )

    def holds_count(self, account_id: str) -> int:
        """Return the number of open holds of an account."""
        holds = self._holds.get(account_id)
        return len(holds.entries) if holds else self._cache.holds_count(account_id)

    def due_holds(self, account_id: str, now: int) -> Sequence[str]:
        """Return the payments whose holds on an account have run out."""
        holds = self._holds.get(account_id)
        return holds.due(now) if holds else self._cache.due_holds(account_id, now)

    # What decisions add.

    def absorb(self, changes: Changes) -> None:
        """Let a decision have happened."""
        for account in changes.accounts:
            self._accounts[account.id] = account
        for payment in changes.payments:
            self._track_hold(payment)
            self._payments[payment.id] = payment
        for merchant in changes.merchants:
            self._merchants[merchant.id] = merchant
            self._references[merchant.tenant_id, merchant.reference] = merchant.id
        self._transfers += changes.transfers
        self._refunds += changes.refunds
        self.events += changes.events
        for tenant_id, request_id, original in changes.tombstones:
            self.store(Key(tenant_id, request_id, TOMBSTONE, b"", b"", original))
        self._deleted_keys += changes.deleted_keys

    def store(self, key: Key) -> None:
        """Remember a request and its answer; a tombstone of the same request is fulfilled."""
        place = (key.tenant_id, key.request_id)
        committed = self._cache.key(*place)
        assert place not in self._keys or self._keys[place].key.method == TOMBSTONE
        self._keys[place] = StoredKey(key, fulfils=committed is not None)

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
        )

    def batch(self, seq: int, previous_hash: bytes, now: int) -> Batch:
        """Return what to commit, not sealed yet."""
        cache = self._cache
        return Batch(
            seq=seq,
            previous_hash=previous_hash,
            hash=b"",
            body="",
            now=now,
            accounts=[
                Changed(before.version if (before := cache.account(row.id)) else 0, row)
                for row in self._accounts.values()
            ],
            payments=[
                Changed(before_payment.version if before_payment else 0, row)
                for row, before_payment in (
                    (row, cache.payment(row.id)) for row in self._payments.values()
                )
            ],
            merchants=[
                Changed(before_merchant.version if before_merchant else 0, row)
                for row, before_merchant in (
                    (row, cache.merchant(row.id)) for row in self._merchants.values()
                )
            ],
            transfers=self._transfers,
            refunds=self._refunds,
            keys=list(self._keys.values()),
            deleted_keys=self._deleted_keys,
        )

    def commit(self) -> None:
        """Make the batch's changes the cache's: it is committed."""
        cache = self._cache
        for account in self._accounts.values():
            cache.put(Item("account", account.id), account)
        for payment in self._payments.values():
            cache.put(Item("payment", payment.id), payment)
        for merchant in self._merchants.values():
            cache.put(Item("merchant", merchant.id), merchant)
        for (tenant_id, reference), merchant_id in self._references.items():
            cache.put(Item("reference", reference, tenant_id), merchant_id)
        for (tenant_id, request_id), stored in self._keys.items():
            cache.put(Item("key", request_id, tenant_id), stored.key)
        for tenant_id, request_id in self._deleted_keys:
            cache.put(Item("key", request_id, tenant_id), None)
        for account_id, holds in self._holds.items():
            cache.put_holds(account_id, holds)

    def _track_hold(self, payment: Payment) -> None:
        account_id = payment.payer_account_id
        before = self.payment(payment.id)
        held_before = before is not None and before.state in HOLDING
        holds_now = payment.state in HOLDING
        if held_before == holds_now:
            return
        holds = self._holds.get(account_id)
        if holds is None:
            committed = self._cache.holds(account_id)
            holds = committed.copy() if committed else Holds({})
            self._holds[account_id] = holds
        if holds_now:
            assert payment.hold_expires_at is not None
            holds.put(payment.id, payment.hold_expires_at)
        else:
            holds.drop(payment.id)
