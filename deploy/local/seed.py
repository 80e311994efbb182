"""Fills an empty shard for a benchmark: accounts with money, merchants, request keys.

Everything goes through the lane's own apply as journaled batches, so that `verify` stays clean.
"""

import hashlib
import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, cast

from processor import journal
from processor.domain import ids
from processor.domain.accounts import Account, Kind
from processor.domain.context import Context
from processor.domain.draft import Draft, Event
from processor.domain.fees import FeeSchedule, RefundPolicy
from processor.domain.merchants import Merchant, State, Terms
from processor.domain.transfers import Reason
from processor.domain.view import Key, View
from processor.ports import Batch, Changed, Opened, StoredKey
from storage.postgres.lane_store import PostgresLaneStore

OWNER: Final = "seed"
CURRENCY: Final = "EUR"
ACCOUNTS_PER_BATCH: Final = 2_000
KEYS_PER_BATCH: Final = 4_000
KEY_METHOD: Final = "CREATE_TRANSFER"
KEY_BITS: Final = 64

Owns = Callable[[str], bool]
"""Says of a bucket, by its two characters, whether the shard is to have accounts in it."""

Progress = Callable[[str, int, int], None]
"""Told what is being made, how many there are, and how many there will be."""


@dataclass(frozen=True)
class Seed:
    """What there is to be."""

    payers: int = 100_000
    merchants: int = 1_000
    request_keys: int = 0
    funds: int = 100_000_000
    fee_basis_points: int = 140
    fee_fixed: int = 5


@dataclass(frozen=True)
class Shop:
    """A merchant that was made."""

    merchant_id: str
    account_id: str


@dataclass(frozen=True)
class Seeded:
    """What was made."""

    payers: list[str]
    shops: list[Shop]


def everything(_bucket: str) -> bool:
    """Leave no bucket out."""
    return True


def names(start: str, region: str, owns: Owns) -> Iterator[str]:
    """Yield names of users or merchants, without end, whose bucket is one of those."""
    for number in itertools.count():
        name = f"{start}-{number:07d}"
        if owns(ids.bucket_of_owner(region, name)):
            yield name


def silent(_what: str, _done: int, _all: int) -> None:
    """Tell nobody."""


async def fill(
    database_url: str,
    seed: Seed,
    *,
    region: str,
    shard: str,
    tenant_id: str,
    owns: Owns = everything,
    progress: Progress = silent,
) -> Seeded:
    """Fill a migrated shard that no processor owns now, in those of its buckets that `owns` names.

    Of several shards each must have taken its buckets before.
    """
    store = PostgresLaneStore(database_url, shard)
    opened = await store.open(OWNER, evict=True)
    try:
        writer = _Writer(store, opened, region, tenant_id)
        payers = await _payers(writer, seed, owns, progress)
        shops = await _shops(writer, seed, progress)
        await _request_keys(writer, seed.request_keys, progress)
    finally:
        await store.close()
    return Seeded(payers, shops)


class _Known:
    """What drafts find: the tenant's own accounts as the batches before left them."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}

    def account(self, account_id: str) -> Account | None:
        return self.accounts.get(account_id)


class _Writer:
    """A lane without callers: one batch after the other."""

    def __init__(
        self, store: PostgresLaneStore, opened: Opened, region: str, tenant_id: str
    ) -> None:
        self.tenant_id = tenant_id
        self.region = region
        self._store, self._ownership = store, opened.ownership
        self._seq, self._hash = opened.seq, opened.hash
        self._buckets_version = opened.buckets.version if opened.buckets else 0
        self._serial = random.SystemRandom().getrandbits(48)
        self._known = _Known()
        self._begin()

    def _begin(self) -> None:
        now = time.time_ns() // 1_000
        mint = ids.Mint(self.region, now, self._serial)
        self.context = Context(now=now, region=self.region, shard=self._ownership.shard, mint=mint)
        # Opening and funding accounts looks at accounts alone.
        self.sheet = Draft(cast(View, self._known), self.context)
        self.merchants: list[Merchant] = []
        self.keys: list[StoredKey] = []

    def new_id(self, prefix: str, owner: str) -> str:
        """Return a new id in an owner's bucket."""
        return self.context.mint.next(prefix, ids.bucket_of_owner(self.region, owner))

    def open_account(self, user_id: str, kind: Kind) -> Account:
        """Open a wallet."""
        return self.sheet.open_account(
            account_id=self.new_id(ids.ACCOUNT, user_id),
            tenant_id=self.tenant_id,
            user_id=user_id,
            kind=kind,
            currency=CURRENCY,
            floor=0,
        )

    async def commit(self) -> None:
        """Commit what was gathered, and begin the next batch."""
        ownership, known, changes = self._ownership, self._known.accounts, self.sheet.changes()
        before = {one.id: known[one.id].version for one in changes.accounts if one.id in known}
        batch = Batch(
            seq=self._seq + 1,
            previous_hash=self._hash,
            hash=b"",
            body=b"",
            now=self.context.now,
            accounts=[Changed(before.get(one.id, 0), one) for one in changes.accounts],
            payments=[],
            merchants=[Changed(0, merchant) for merchant in self.merchants],
            transfers=changes.transfers,
            refunds=[],
            keys=self.keys,
            deleted_keys=[],
            buckets_version=self._buckets_version,
        )
        made = [Event("merchant_created", merchant.id, 1) for merchant in self.merchants]
        sealed = journal.seal(
            batch,
            [*changes.events, *made],
            shard=ownership.shard,
            epoch=ownership.epoch,
            incarnation=ownership.incarnation,
        )
        await self._store.apply(ownership, sealed)
        known |= {one.id: one for one in changes.accounts if one.is_own}
        self._seq, self._hash, self._serial = sealed.seq, sealed.hash, self.context.mint.serial
        self._begin()


async def _payers(writer: _Writer, seed: Seed, owns: Owns, progress: Progress) -> list[str]:
    """Open wallets and put money on them, all of it from the world."""
    made: list[str] = []
    chosen = names("payer", writer.region, owns)
    while len(made) < seed.payers:
        for _ in range(len(made), min(len(made) + ACCOUNTS_PER_BATCH, seed.payers)):
            opened = writer.open_account(next(chosen), Kind.CONSUMER_WALLET)
            world = writer.sheet.own_account(writer.tenant_id, Kind.WORLD, CURRENCY)
            writer.sheet.move(world, opened, seed.funds, Reason.TOP_UP)
            made.append(opened.id)
        await writer.commit()
        progress("accounts", len(made), seed.payers)
    return made


async def _shops(writer: _Writer, seed: Seed, progress: Progress) -> list[Shop]:
    made: list[Shop] = []
    if not seed.merchants:
        return made
    schedule = FeeSchedule(seed.fee_basis_points, seed.fee_fixed, RefundPolicy.KEEP)
    for number in range(seed.merchants):
        reference = f"shop-{number:05d}"
        wallet = writer.open_account(reference, Kind.MERCHANT_WALLET)
        # So that a refund is covered from the first payment on.
        world = writer.sheet.own_account(writer.tenant_id, Kind.WORLD, CURRENCY)
        writer.sheet.move(world, wallet, seed.funds, Reason.TOP_UP)
        merchant = Merchant(
            id=writer.new_id(ids.MERCHANT, reference),
            tenant_id=writer.tenant_id,
            reference=reference,
            display_name=reference,
            state=State.ACTIVE,
            settlement_terms=(Terms(CURRENCY, wallet.id, schedule),),
            version=1,
            created_at=writer.context.now,
            updated_at=writer.context.now,
        )
        writer.merchants.append(merchant)
        made.append(Shop(merchant.id, wallet.id))
    await writer.commit()
    progress("merchants", len(made), seed.merchants)
    return made


async def _request_keys(writer: _Writer, count: int, progress: Progress) -> None:
    for stored, request_id in enumerate(_scattered(count), start=1):
        digest = hashlib.blake2b(request_id.encode(), digest_size=32).digest()
        key = Key(writer.tenant_id, request_id, KEY_METHOD, digest, digest, request_id)
        writer.keys.append(StoredKey(key, fulfils=False))
        if stored % KEYS_PER_BATCH == 0 or stored == count:
            await writer.commit()
            progress("request keys", stored, count)


def _scattered(count: int) -> Iterator[str]:
    """Yield ids at random over all there are, in their order: that fills an index fastest."""
    dice = random.Random(count)
    for number in range(count):
        place = ((number << KEY_BITS) + dice.getrandbits(KEY_BITS)) // count
        yield f"req_{place:016x}{dice.getrandbits(KEY_BITS):016x}"
