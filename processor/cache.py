"""What a lane remembers of its shard, bounded, for one epoch: state as decided so far.

A decision changes it at once, before its batch is committed, so that the next batch can be decided
while one is being applied. When a batch fails, all that it and its successor touched is forgotten
and loaded again: nothing uncommitted ever outlives its batch.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from processor.domain import ids
from processor.domain.accounts import Account
from processor.domain.merchants import Merchant
from processor.domain.payments import HOLDING, Payment, Refund
from processor.domain.view import Item, Key, Position
from processor.ports import Loaded

EVICTED_AT_ONCE: Final = 2_000
"""So many more leave than the bound asks for, or a tenth of it, so that it is not passed again at
once. Few, for the lane stands still meanwhile: a thousand take about a millisecond."""

ACCOUNTS_WEIGHT: Final = 4
KEYS_WEIGHT: Final = 2
PAYMENTS_WEIGHT: Final = 2
OTHERS_WEIGHT: Final = 1
"""By which the kinds share the bound. A payment and its key are seldom asked for again, and two of
them come with every command; without its accounts a command waits for a look-up."""


class Holds:
    """The open holds of one account: payment id -> expiry in µs."""

    __slots__ = ("_earliest", "entries")

    def __init__(self, entries: dict[str, int]) -> None:
        self.entries = entries
        self._earliest: int | None = min(entries.values(), default=None)

    def put(self, payment_id: str, expires_at: int) -> None:
        """Add a hold."""
        self.entries[payment_id] = expires_at
        if self._earliest is None or expires_at < self._earliest:
            self._earliest = expires_at

    def drop(self, payment_id: str) -> None:
        """Remove a hold."""
        expires_at = self.entries.pop(payment_id)
        if expires_at == self._earliest:
            self._earliest = min(self.entries.values(), default=None)

    def due(self, now: int) -> Sequence[str]:
        """Return the payments whose holds have run out, in the order of their expiry."""
        if self._earliest is None or self._earliest > now:
            return ()
        due = [(expires, payment) for payment, expires in self.entries.items() if expires <= now]
        return [payment for _, payment in sorted(due)]


class Cache:
    """The lane's view. What is known not to exist is remembered too, as None.

    Evicts what was written or loaded longest ago, never what a waiting command needs or an
    uncommitted batch touches.
    """

    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._accounts: dict[str, Account | None] = {}
        self._payments: dict[str, Payment | None] = {}
        self._merchants: dict[str, Merchant | None] = {}
        self._references: dict[tuple[str, str], str | None] = {}
        self._keys: dict[tuple[str, str], Key | None] = {}
        self._refunds: dict[str, Refund | None] = {}
        # By shard, of which there are few: these are never evicted.
        self._sent: dict[str, int] = {}
        self._received: dict[str, int] = {}
        self._copies: dict[str, Position | None] = {}  # Those that are made now: few as well.
        self._holds: dict[str, Holds] = {}

    def __len__(self) -> int:
        return (
            len(self._accounts)
            + len(self._payments)
            + len(self._merchants)
            + len(self._references)
            + len(self._keys)
            + len(self._refunds)
        )

    # The view.

    def knows(self, item: Item) -> bool:
        """Say whether an item, existing or not, is in memory."""
        values, name = self._place(item)
        return name in values

    def account(self, account_id: str) -> Account | None:
        """Return an account."""
        return self._accounts.get(account_id)

    def payment(self, payment_id: str) -> Payment | None:
        """Return a payment."""
        return self._payments.get(payment_id)

    def merchant(self, merchant_id: str) -> Merchant | None:
        """Return a merchant."""
        return self._merchants.get(merchant_id)

    def key(self, tenant_id: str, request_id: str) -> Key | None:
        """Return what is stored of a request."""
        return self._keys.get((tenant_id, request_id))

    def reference(self, tenant_id: str, reference: str) -> str | None:
        """Return the id of the merchant with a reference."""
        return self._references.get((tenant_id, reference))

    def refund(self, refund_id: str) -> Refund | None:
        """Return a refund."""
        return self._refunds.get(refund_id)

    def sent(self, shard: str) -> int:
        """Return the number of the last leg that was sent to a shard."""
        return self._sent.get(shard, 0)

    def received(self, shard: str) -> int:
        """Return the number of the last leg that was received from a shard."""
        return self._received.get(shard, 0)

    def copied(self, bucket: str) -> Position | None:
        """Return how far the copy of another shard's bucket is."""
        return self._copies.get(bucket)

    def holds_count(self, account_id: str) -> int:
        """Return the number of open holds of an account."""
        holds = self._holds.get(account_id)
        return len(holds.entries) if holds else 0

    def due_holds(self, account_id: str, now: int) -> Sequence[str]:
        """Return the payments whose holds on an account have run out."""
        holds = self._holds.get(account_id)
        return holds.due(now) if holds else ()

    # What decisions change: written last, evicted last.

    def put_account(self, account: Account) -> Account | None:
        """Remember an account; return what it was before."""
        before = self._accounts.pop(account.id, None)
        self._accounts[account.id] = account
        return before

    def put_payment(self, payment: Payment) -> Payment | None:
        """Remember a payment and its hold; return what it was before."""
        before = self._payments.pop(payment.id, None)
        self._payments[payment.id] = payment
        held_before = before is not None and before.state in HOLDING
        if held_before != (payment.state in HOLDING):
            self._change_hold(payment, held_before=held_before)
        return before

    def put_copy(self, payment: Payment) -> Payment | None:
        """Remember a payment of another shard; return what was here of it.

        Its payer's holds are not kept up: they are loaded when the account comes.
        """
        before = self._payments.pop(payment.id, None)
        self._payments[payment.id] = payment
        self._accounts.pop(payment.payer_account_id, None)
        self._holds.pop(payment.payer_account_id, None)
        return before

    def put_position(self, bucket: str, position: Position) -> None:
        """Remember how far the copy of a bucket is."""
        self._copies[bucket] = position

    def put_merchant(self, merchant: Merchant) -> Merchant | None:
        """Remember a merchant; return what it was before."""
        before = self._merchants.pop(merchant.id, None)
        self._merchants[merchant.id] = merchant
        self._references[merchant.tenant_id, merchant.reference] = merchant.id
        return before

    def put_key(self, key: Key) -> Key | None:
        """Remember a request and its answer; return what was stored before, a tombstone or None."""
        place = (key.tenant_id, key.request_id)
        before = self._keys.pop(place, None)
        self._keys[place] = key
        return before

    def drop_key(self, place: tuple[str, str]) -> None:
        """Remember that a request is no longer stored."""
        self._keys[place] = None

    def put_refund(self, refund: Refund) -> None:
        """Remember a refund."""
        self._refunds[refund.id] = refund

    def put_sent(self, shard: str, number: int) -> None:
        """Remember the last leg that was sent to a shard."""
        self._sent[shard] = number

    def put_received(self, shard: str, number: int) -> None:
        """Remember the last leg that was received from a shard."""
        self._received[shard] = number

    def _change_hold(self, payment: Payment, *, held_before: bool) -> None:
        account_id = payment.payer_account_id
        holds = self._holds.get(account_id)
        if holds is None:
            holds = self._holds[account_id] = Holds({})
        if held_before:
            holds.drop(payment.id)
            if not holds.entries:
                del self._holds[account_id]
        else:
            assert payment.hold_expires_at is not None
            holds.put(payment.id, payment.hold_expires_at)

    # What loads and failures change.

    def absorb(self, loaded: Loaded) -> None:
        """Remember what was loaded; a value already known is newer and stays."""
        for item, value in loaded.values.items():
            values, name = self._place(item)
            if name not in values:
                values[name] = value
                entries = loaded.holds.get(item.id) if item.kind == "account" else None
                if entries:
                    self._holds[item.id] = Holds(entries)

    def forget(self, items: Iterable[Item]) -> None:
        """Forget some items, to load them again."""
        for item in items:
            values, name = self._place(item)
            values.pop(name, None)
            if item.kind == "account":
                self._holds.pop(item.id, None)

    def forget_accounts_in(self, homes: AbstractSet[str]) -> None:
        """Forget the accounts of some buckets (region, slash and two characters) and their holds.

        When the buckets become this shard's: what is known of holds may be older than the copies.
        """
        buckets = {home[-2:] for home in homes}  # Few pass, and so all are looked at quickly.
        moved = [name for name in self._accounts if name[-2:] in buckets]
        for account_id in [name for name in moved if ids.home_of_id(name) in homes]:
            del self._accounts[account_id]
            self._holds.pop(account_id, None)

    def forget_all(self) -> None:
        """Start empty: another owner may have written."""
        for values, _ in self._weighed():
            values.clear()
        self._sent.clear()
        self._received.clear()
        self._copies.clear()
        self._holds.clear()

    def evict(self, spared: Callable[[], AbstractSet[Item]]) -> None:
        """Shrink once the bound is passed, sparing what is still needed.

        What has most of the bound for its weight makes the room, what is next only if that had not
        enough: merchants are few and in every payment's way.
        """
        surplus = len(self) - self._items_max
        if surplus <= 0:
            return
        surplus += min(EVICTED_AT_ONCE, self._items_max // 10)
        needed: dict[int, set[Any]] = {}
        for item in spared():
            values, name = self._place(item)
            needed.setdefault(id(values), set()).add(name)
        shares = [(len(values) / weight, values) for values, weight in self._weighed()]
        shares.sort(key=_share, reverse=True)
        for _, values in shares:
            surplus -= self._evict_from(values, needed.get(id(values), set()), surplus)
            if surplus <= 0:
                return

    def _evict_from(self, values: dict[Any, Any], needed: set[Any], count_max: int) -> int:
        leaving: list[Any] = []
        for name in values:
            if name not in needed:
                leaving.append(name)
                if len(leaving) == count_max:
                    break
        for name in leaving:
            del values[name]
            if values is self._accounts:
                self._holds.pop(name, None)
        return len(leaving)

    def _weighed(self) -> tuple[tuple[dict[Any, Any], int], ...]:
        return (
            (self._accounts, ACCOUNTS_WEIGHT),
            (self._payments, PAYMENTS_WEIGHT),
            (self._merchants, OTHERS_WEIGHT),
            (self._references, OTHERS_WEIGHT),
            (self._keys, KEYS_WEIGHT),
            (self._refunds, OTHERS_WEIGHT),
        )

    def _place(self, item: Item) -> tuple[dict[Any, Any], Any]:
        match item.kind:
            case "account":
                return self._accounts, item.id
            case "payment":
                return self._payments, item.id
            case "merchant":
                return self._merchants, item.id
            case "key":
                return self._keys, (item.tenant_id, item.id)
            case "reference":
                return self._references, (item.tenant_id, item.id)
            case "refund":
                return self._refunds, item.id
            case "sent":
                return self._sent, item.id
            case "received":
                return self._received, item.id
            case "copy":
                return self._copies, item.id


def _share(shared: tuple[float, dict[Any, Any]]) -> float:
    return shared[0]
