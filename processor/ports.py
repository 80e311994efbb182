"""What the lane needs from storage, and how storage says no. Implemented in `storage`."""

from collections.abc import Mapping, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from processor.domain.accounts import Account
from processor.domain.copies import CopiedKey, CopiedLeg, Page
from processor.domain.legs import Received
from processor.domain.merchants import Merchant
from processor.domain.ownership import Buckets
from processor.domain.payments import Payment, Refund
from processor.domain.transfers import Transfer
from processor.domain.view import Item, Key, Position


class StorageError(Exception):
    """Storage did not do as asked."""


class Unavailable(StorageError):
    """Storage cannot be reached, or another owner holds the lane; nothing was done."""


class Fenced(StorageError):
    """The lane belongs to another owner now; nothing was done, and nothing more can be (R2)."""


class Conflict(StorageError):
    """The rows are not as the lane believed (journal, version or request key); nothing was done."""


class KeyTaken(Conflict):
    """A request key that was taken to be new is stored already; nothing was done."""


class Ambiguous(StorageError):
    """The connection failed or timed out: it is unknown whether the batch was committed (R5)."""


class Rejected(StorageError):
    """The server refused the data, by a constraint for instance; nothing was done (R7)."""


class LaneClosed(Unavailable):
    """The lane is not held here at the moment; nothing was done."""


class LaneBusy(Unavailable):
    """The lane's queue is full; nothing was done."""


class Ownership(NamedTuple):
    """Who writes a shard: a higher epoch beats a lower one; the incarnation names the history."""

    shard: str
    epoch: int
    owner: str
    incarnation: str


class Opened(NamedTuple):
    """A lane as taken over: the journal's head, and the database's clock in µs since 1970."""

    ownership: Ownership
    seq: int
    hash: bytes
    clock: int
    last_written_at: int
    buckets: Buckets | None = None
    """None while the database says nothing of buckets."""


Value = Account | Payment | Merchant | Key | Refund | Position | str | int | None
"""What an item turned out to be; None when it does not exist, str for a merchant's id, int for the
number of a leg, 0 before the first; of a bucket how far its copy is."""


class Loaded(NamedTuple):
    """Items as committed, and each loaded account's open holds: payment id -> expiry in µs."""

    values: Mapping[Item, Value]
    holds: Mapping[str, dict[str, int]]


Row = TypeVar("Row")


class Changed(NamedTuple, Generic[Row]):
    """A row's after-image and the version that it must have had; 0 for a new row."""

    expected: int
    row: Row


class StoredKey(NamedTuple):
    """A request key to store; `fulfils` when it takes the place of a tombstone."""

    key: Key
    fulfils: bool


class SentLeg(NamedTuple):
    """A leg on its way to another shard, as it was written down."""

    destination: str
    number: int
    transfer_id: str
    payment_id: str
    text: str


class Crossed(NamedTuple):
    """What a batch did towards other shards, or because of them."""

    sent: Sequence[SentLeg]
    received: Sequence[Received]
    suspended: Sequence[tuple[str, int]]
    acknowledged: Sequence[tuple[str, int]]
    settled: Sequence[Refund]


class CopiedRows(NamedTuple):
    """Rows of buckets that are still other shards', and how far the copy of each is by that."""

    positions: Sequence[tuple[str, Position]]
    payments: Sequence[Changed[Payment]]
    refunds: Sequence[Changed[Refund]]
    """Expected is 1 for one that is here already."""
    legs: Sequence[CopiedLeg]
    keys: Sequence[CopiedKey]


class Batch(NamedTuple):
    """All that one apply commits. `now` is lane time in µs since 1970."""

    seq: int
    previous_hash: bytes
    hash: bytes
    body: bytes
    now: int
    accounts: Sequence[Changed[Account]]
    payments: Sequence[Changed[Payment]]
    merchants: Sequence[Changed[Merchant]]
    transfers: Sequence[Transfer]
    refunds: Sequence[Refund]
    keys: Sequence[StoredKey]
    deleted_keys: Sequence[tuple[str, str]]
    crossed: Crossed | None = None
    buckets_version: int = 0
    """Of the ownership that it was decided with; compared by apply."""
    buckets: Buckets | None = None
    """The ownership from now on; None leaves it as it is."""
    copied: CopiedRows | None = None


class Route(NamedTuple):
    """How far the legs to a destination are: the last one sent, the last one confirmed."""

    destination: str
    sent: int
    acknowledged: int


class Due(NamedTuple):
    """What the lane's own housekeeping has to do, and the database's clock in µs since 1970."""

    accounts_with_expired_holds: Sequence[str]
    old_keys: Sequence[tuple[str, str]]
    clock: int


class Lease(Protocol):
    """Says quickly that a lane's owner has died. Nothing rests on it but how soon that shows."""

    async def claim(self, owner: str) -> bool | None:
        """Say whether the lease is now the owner's: nobody else renews it. None if unknown."""

    def keep(self, owner: str) -> None:
        """Hold the lease from now on: the caller has the lane."""

    async def release(self, owner: str) -> None:
        """Give the lease up, so that a successor need not wait for it to run out."""


class NoLease:
    """For a lane without Redis: the advisory lock alone decides, and death is noticed by TCP."""

    async def claim(self, owner: str) -> bool | None:
        """Nobody can say that another owner is dead."""
        return None

    def keep(self, owner: str) -> None:
        """Nothing to hold."""

    async def release(self, owner: str) -> None:
        """Nothing to give up."""


class LaneStorage(Protocol):
    """One shard's truth, as its single writer sees it."""

    async def open(self, owner: str, *, evict: bool) -> Opened:
        """Take the lane over with a higher epoch and a new incarnation (R11).

        `evict` ends the recorded owner's session first, unless it has only just taken over;
        without it an owner that lives is left alone. Raises Unavailable.
        """

    async def load(self, items: Sequence[Item]) -> Loaded:
        """Return committed state. May run while a batch is being applied. Raises Unavailable."""

    def prepare(self, ownership: Ownership, batch: Batch) -> None:
        """Do ahead what can be done before the batch's turn to be applied comes; a hint."""

    async def apply(self, ownership: Ownership, batch: Batch) -> None:
        """Commit a batch. Raises Fenced, KeyTaken, Conflict, Rejected or Ambiguous."""

    async def check(self, ownership: Ownership) -> None:
        """Return if the lane is still owned (R6). Raises Fenced or Ambiguous."""

    async def due(self, now: int, keys_older_than: int, limit: int) -> Due:
        """Return at most `limit` accounts and keys for housekeeping. Raises Unavailable."""

    async def routes(self) -> Sequence[Route]:
        """Return every destination that legs were ever sent to. Raises Unavailable."""

    async def legs(self, destination: str, after: int, limit: int) -> Sequence[tuple[int, str]]:
        """Return legs sent with numbers above one, in their order. Raises Unavailable."""

    async def hash_of(self, seq: int) -> bytes | None:
        """Return the hash of a commit, None if there is no such one. Raises Unavailable."""

    async def has_users(self, region: str, buckets: Sequence[str], since: int) -> bool:
        """Say whether an account or merchant made since then, in µs, is in one of these buckets.

        `buckets` by their two characters; 0 means ever. Raises Unavailable.
        """

    async def accounts_in(self, region: str, bucket: str, since: int) -> Sequence[str]:
        """Return the ids of the accounts of a bucket that were opened since then, in µs.

        Raises Unavailable.
        """

    async def copy_page(self, region: str, bucket: str, after: Position | None) -> Page:
        """Return what comes next of a copy of a bucket, as it is committed now.

        It begins anew where `after` names nothing of this shard's history. Raises Unavailable.
        """

    async def close(self) -> None:
        """Give the lane up."""


LEGS_PER_CALL_MAX: Final = 300
"""Legs carried at a time, as the contract says: as many as a batch takes."""

CARRY_SECONDS_MAX: Final = 5.0
"""A batch takes milliseconds; past this the other end is gone or stuck, and the legs go again."""


class LegTaker(Protocol):
    """A lane, as those see it who carry legs to it."""

    @property
    def is_open(self) -> bool:
        """Whether the lane is held here and decides."""

    async def carry(self, source: str, first_number: int, legs: Sequence[bytes]) -> int:
        """Take legs in; see `Peers.carry`. Raises LaneClosed or LaneBusy."""


class Peers(Protocol):
    """How legs get to the lanes of other shards."""

    async def carry(
        self, source: str, destination: str, first_number: int, legs: Sequence[bytes]
    ) -> int:
        """Carry legs, at most 300, numbered from one on; 0 and none ask for the position alone.

        Returns the position: the number of the last leg from this source whose effect is
        committed there. Raises Unavailable; then they may have arrived or not.
        """


class Told(NamedTuple):
    """What a lane tells the cache of balances at once.

    Rows, by id, of one generation belong together, and to its head.
    """

    shard: str
    epoch: int
    generation: bytes
    rows: Mapping[str, Account | Merchant]
    head: tuple[str, int] | None
    """Incarnation and seq up to which all is told with these rows; None while there is more."""
    held_at: float
    """When the lane was last sure of being the owner, in s of the monotonic clock."""


class Cached(NamedTuple):
    """What the cache knows of a row; `row` is None where only its lane's head is known."""

    incarnation: str
    seq: int
    """The commit up to which the lane has told everything."""
    age_seconds: float
    """For how long the lane may have committed more than that."""
    generation: bytes
    row: Account | Merchant | None


class BalanceCache(Protocol):
    """Accounts and merchants as lanes last committed them. Any of it may vanish at any time."""

    @property
    def is_up(self) -> bool:
        """Whether anything may be asked now."""

    async def tell(self, told: Told) -> bool:
        """Keep what is told; False when it is unknown whether all of it is kept."""

    async def find(self, shard: str, row_id: str) -> Cached | None:
        """Return what is known of a row, None if nothing is or there is no answer in time."""
