"""What an account is and what may be done to it."""

from typing import Final, NamedTuple

from processor.domain import refusals
from processor.domain.names import MaybeInt, Name

LIMIT: Final = 1 << 62
"""No balance passes this, so that sums of two balances still fit 64 bits (R4)."""

OPEN_HOLDS_MAX: Final = 10_000
"""Open holds per account; the lane keeps them in memory with the account."""


class Kind(Name):
    """What an account is for."""

    CONSUMER_WALLET = "CONSUMER_WALLET"
    MERCHANT_WALLET = "MERCHANT_WALLET"
    FEES = "FEES"
    CLEARING = "CLEARING"
    ACQUIRER_SETTLEMENT = "ACQUIRER_SETTLEMENT"
    FX_POSITION = "FX_POSITION"
    SUSPENSE = "SUSPENSE"
    WORLD = "WORLD"


WALLETS: Final = frozenset({Kind.CONSUMER_WALLET, Kind.MERCHANT_WALLET})
"""Kinds that callers open; all others are the tenant's own and open with their first use."""

WITHOUT_FLOOR: Final = frozenset({Kind.WORLD, Kind.CLEARING})
"""Kinds whose balance may be anything within the limit."""


class State(Name):
    """Whether money may move."""

    OPEN = "OPEN"
    FROZEN = "FROZEN"
    CLOSED = "CLOSED"


class Account(NamedTuple):
    """An account after its latest change. Amounts in minor units, times in µs since 1970."""

    id: str
    tenant_id: str
    user_id: str
    kind: str
    currency: str
    state: str
    posted: int
    held: int
    floor: "MaybeInt"
    version: int
    created_at: int
    updated_at: int
    last_transfer_id: str
    """Newest transfer with this account on a side; empty when there is none."""
    last_payment_id: str
    """Newest payment of which it is the payer; empty when there is none."""

    @property
    def is_own(self) -> bool:
        """Whether it is the tenant's own, such as its world or fees account, and no wallet."""
        return self.kind not in WALLETS

    def covers(self, amount: int) -> bool:
        """Say whether an amount can leave without passing the floor."""
        return self.floor is None or self.posted - self.held - amount >= self.floor


def require_open(account: Account) -> None:
    """Refuse to move money on an account that is not open."""
    if account.state == State.FROZEN:
        raise refusals.AccountFrozen(account_id=account.id)
    if account.state == State.CLOSED:
        raise refusals.AccountClosed(account_id=account.id)
