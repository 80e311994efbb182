"""What a lane remembers of committed state, bounded, for one epoch."""

from collections.abc import Iterable, Sequence

from processor.domain.accounts import Account
from processor.domain.merchants import Merchant
from processor.domain.payments import Payment
from processor.domain.view import Item, Key
from processor.ports import Loaded, Value


class Holds:
    """The open holds of one account: payment id -> expiry in µs."""

    __slots__ = ("_earliest", "entries")

    def __init__(self, entries: dict[str, int]) -> None:
        self.entries = entries
        self._earliest: int | None = min(entries.values(), default=None)

    def copy(self) -> "Holds":
        """Return an independent copy."""
        return Holds(dict(self.entries))

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
    """Committed values by item. What is known not to exist is remembered too, as None.

    Evicts the items written or loaded longest ago, never one that a waiting command needs.
    """

    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._values: dict[Item, Value] = {}
        self._holds: dict[str, Holds] = {}

    def __len__(self) -> int:
        return len(self._values)

    def knows(self, item: Item) -> bool:
        """Say whether an item, existing or not, is in memory."""
        return item in self._values

    def account(self, account_id: str) -> Account | None:
        """Return an account."""
        value = self._values.get(Item("account", account_id))
        assert value is None or isinstance(value, Account)
        return value

    def payment(self, payment_id: str) -> Payment | None:
        """Return a payment."""
        value = self._values.get(Item("payment", payment_id))
        assert value is None or isinstance(value, Payment)
        return value

    def merchant(self, merchant_id: str) -> Merchant | None:
        """Return a merchant."""
        value = self._values.get(Item("merchant", merchant_id))
        assert value is None or isinstance(value, Merchant)
        return value

    def key(self, tenant_id: str, request_id: str) -> Key | None:
        """Return what is stored of a request."""
        value = self._values.get(Item("key", request_id, tenant_id))
        assert value is None or isinstance(value, Key)
        return value

    def reference(self, tenant_id: str, reference: str) -> str | None:
        """Return the id of the merchant with a reference."""
        value = self._values.get(Item("reference", reference, tenant_id))
        assert value is None or isinstance(value, str)
        return value

    def holds(self, account_id: str) -> Holds | None:
        """Return the open holds of an account, None if it has none."""
        return self._holds.get(account_id)

    def holds_count(self, account_id: str) -> int:
        """Return the number of open holds of an account."""
        holds = self._holds.get(account_id)
        return len(holds.entries) if holds else 0

    def due_holds(self, account_id: str, now: int) -> Sequence[str]:
        """Return the payments whose holds on an account have run out."""
        holds = self._holds.get(account_id)
        return holds.due(now) if holds else ()

    def absorb(self, loaded: Loaded) -> None:
        """Remember what was loaded; a value already known is newer and stays."""
        for item, value in loaded.values.items():
            if item not in self._values:
                self._values[item] = value
                entries = loaded.holds.get(item.id) if item.kind == "account" else None
                if entries:
                    self._holds[item.id] = Holds(entries)

    def put(self, item: Item, value: Value) -> None:
        """Remember a committed value."""
        self._values.pop(item, None)
        self._values[item] = value

    def put_holds(self, account_id: str, holds: Holds) -> None:
        """Remember an account's open holds."""
        if holds.entries:
            self._holds[account_id] = holds
        else:
            self._holds.pop(account_id, None)

    def forget(self, items: Iterable[Item]) -> None:
        """Forget some items, to load them again."""
        for item in items:
            self._values.pop(item, None)
            if item.kind == "account":
                self._holds.pop(item.id, None)

    def forget_all(self) -> None:
        """Start empty: another owner may have written."""
        self._values.clear()
        self._holds.clear()

    def evict(self, needed: Iterable[Item]) -> None:
        """Shrink to nine tenths of the bound once it is passed, sparing what is needed."""
        if len(self._values) <= self._items_max:
            return
        spared = frozenset(needed)
        surplus = len(self._values) - self._items_max * 9 // 10
        leaving: list[Item] = []
        for item in self._values:
            if item not in spared:
                leaving.append(item)
                if len(leaving) == surplus:
                    break
        self.forget(leaving)
