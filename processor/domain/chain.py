"""The hash chain of the journal (R17): what a row's hash covers, and how outcomes are digested."""

import hashlib
from typing import Final

VERSION: Final = 1
"""Version of the body's form."""

GENESIS: Final = bytes(32)
"""previous_hash of the first row."""


def outcome_digest(outcome: bytes) -> str:
    """Return what the journal keeps of an outcome."""
    return hashlib.blake2b(outcome, digest_size=16).hexdigest()


def chain(
    previous_hash: bytes,
    body: bytes,
    *,
    shard: str,
    seq: int,
    epoch: int,
    incarnation: str,
    now: int,
) -> bytes:
    """Return the SHA-256 of a journal row: the previous hash, a header line and the body.

    The body is taken as it is stored, compressed, so that the chain can be walked by hashing alone.
    """
    digest = hashlib.sha256(previous_hash)
    digest.update(f"{shard}|{seq}|{epoch}|{incarnation}|{now}|".encode())
    digest.update(body)
    return digest.digest()
