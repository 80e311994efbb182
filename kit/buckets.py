"""Buckets: 1,024 in a region, written in ids as two characters of Crockford's base 32.

Both servers route by them. processor/domain/ids.py, which may import nothing of the kit, has the
same alphabet and the same hash; a test compares them.
"""

import hashlib
from typing import Final

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
BUCKETS: Final = 1024
NAMES: Final = tuple(a + b for a in ALPHABET for b in ALPHABET)
"""The two characters of every bucket, by its number."""

_NUMBERS: Final = {name: number for number, name in enumerate(NAMES)}


def number_of(bucket: str) -> int | None:
    """Return the number of a bucket, from 0; None if the two characters name none."""
    return _NUMBERS.get(bucket)


def bucket_of_owner(region: str, owner: str) -> str:
    """Return the two characters of the bucket of an owner (user or merchant reference)."""
    digest = hashlib.blake2b(f"{region}\x00{owner}".encode(), digest_size=2).digest()
    return NAMES[int.from_bytes(digest) % BUCKETS]
