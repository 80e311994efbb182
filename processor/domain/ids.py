"""Identifiers: prefixed, time-ordered text that carries region and bucket.

`pay_eu_01jd5x3a4b0c1d2e3f4g7k` is a prefix, a region, ten characters of milliseconds since 1970,
ten of a serial number that only grows, and two of the bucket, in Crockford's base 32. Ids of one
lane therefore sort in the order in which they were decided, and any gateway finds the bucket of an
id without a lookup.
"""

import functools
import hashlib
from typing import Final

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
BUCKETS: Final = 1024
"""Buckets per region; two base-32 characters hold exactly this many."""

SERIAL_LIMIT: Final = 1 << 50
"""Ten base-32 characters. A lane starts in the lower half at random and counts up from there."""

_PAIRS: Final = tuple(a + b for a in ALPHABET for b in ALPHABET)

ACCOUNT: Final = "acc"
PAYMENT: Final = "pay"
MERCHANT: Final = "mer"
TRANSFER: Final = "trf"
REFUND: Final = "ref"
OWN: Final = "sys"
"""Prefix of a tenant's own accounts; they exist on every shard and carry no bucket."""

_CLEARING: Final = "_clearing."


def encode(number: int) -> str:
    """Return the ten characters of a number below 2^50, most significant first."""
    assert 0 <= number < SERIAL_LIMIT
    return (
        _PAIRS[number >> 40]
        + _PAIRS[(number >> 30) & 1023]
        + _PAIRS[(number >> 20) & 1023]
        + _PAIRS[(number >> 10) & 1023]
        + _PAIRS[number & 1023]
    )


def bucket_of_owner(region: str, owner: str) -> str:
    """Return the two characters of the bucket of an owner (user or merchant reference)."""
    digest = hashlib.blake2b(f"{region}\x00{owner}".encode(), digest_size=2).digest()
    return _PAIRS[int.from_bytes(digest) % BUCKETS]


def bucket_of_id(identifier: str) -> str:
    """Return the two characters of the bucket that an id carries."""
    assert not identifier.startswith(OWN), "a tenant's own accounts are on every shard"
    return identifier[-2:]


def region_of_id(identifier: str) -> str:
    """Return the region that an id carries."""
    return identifier.split("_", 2)[1]


def home_of_id(identifier: str) -> str:
    """Return region, slash and bucket of an id; of a text that is no such id, what is nobody's."""
    parts = identifier.split("_", 2)
    if len(parts) < 3 or parts[0] == OWN:
        return ""
    return f"{parts[1]}/{identifier[-2:]}"


def shard_of_own(identifier: str) -> str:
    """Return the shard that the id of a tenant's own account names; empty for any other id."""
    parts = identifier.split("_", 3)
    return parts[2] if len(parts) == 4 and parts[0] == OWN else ""


def bucket_of_pair(debit_id: str, credit_id: str) -> str:
    """Return the bucket of what happens between two accounts: that of the first that has one."""
    for identifier in (debit_id, credit_id):
        if not identifier.startswith(OWN):
            return bucket_of_id(identifier)
    return bucket_of_owner(OWN, debit_id)


def first_at(prefix: str, region: str, time_us: int) -> str:
    """Return a text that sorts before every id of this kind minted at or after a moment."""
    return f"{prefix}_{region}_{encode(time_us // 1000)}"


def later_than(time_us: int) -> int:
    """Return the first moment at which every id, of any lane, sorts after those of a moment."""
    return (time_us // 1_000 + 1) * 1_000


@functools.lru_cache(maxsize=10_000)
def system_account(region: str, shard: str, tenant_id: str, kind: str, currency: str) -> str:
    """Return the id of a tenant's own account on a shard, such as its world or fees account."""
    return f"{OWN}_{region}_{shard}_{tenant_id}_{kind.lower()}_{currency}"


@functools.lru_cache(maxsize=10_000)
def clearing_account(region: str, shard: str, tenant_id: str, peer: str, currency: str) -> str:
    """Return the id of the account on a shard that stands for a tenant's money with a peer."""
    return f"{OWN}_{region}_{shard}_{tenant_id}{_CLEARING}{peer}_{currency}"


def is_clearing(account_id: str) -> bool:
    """Say whether an id is that of a clearing account."""
    return account_id.startswith(OWN) and _CLEARING in account_id


class Mint:
    """Makes the ids of one lane; every id is greater than those before it."""

    __slots__ = ("_head", "_serial", "_start")

    def __init__(self, region: str, time_us: int, serial: int) -> None:
        self._start = f"_{region}_{encode(time_us // 1000)}"
        self._serial = serial
        self._head = self._start + encode(serial)[:-2]

    @property
    def serial(self) -> int:
        """The serial number of the last id, to start the next mint from."""
        return self._serial

    def next(self, prefix: str, bucket: str) -> str:
        """Return a new id in a bucket (its two characters)."""
        self._serial = serial = self._serial + 1
        low = serial & 1023
        if not low:
            self._head = self._start + encode(serial)[:-2]
        return f"{prefix}{self._head}{_PAIRS[low]}{bucket}"
