"""Writes down a batch: the journal row's body and its place in the hash chain (R17).

The body is JSON of every value that the batch writes, so that the chain covers them all: the
after-image of each account, payment and merchant, each transfer and refund, each request key with
the digest of its outcome, the keys deleted, the events, all that went to other shards or came
from them, and the copies of what moves here. It is stored as one Zstandard frame, a seventh of its
length: what is not written costs nothing (decision record 0016).
"""

from collections.abc import Sequence

import msgspec

from kit import frames
from processor.domain.chain import GENESIS, VERSION, chain, outcome_digest
from processor.domain.draft import Event
from processor.domain.view import Key
from processor.ports import Batch, Changed, Row

__all__ = ["GENESIS", "KeyRecord", "chain", "key_record", "outcome_digest", "seal"]


class KeyRecord(msgspec.Struct, array_like=True):
    """A stored request key as the journal keeps it; digests are hexadecimal."""

    tenant_id: str
    request_id: str
    method: str
    fingerprint: str
    resource_id: str
    outcome_digest: str


def key_record(key: Key) -> KeyRecord:
    """Return what the journal keeps of a request key."""
    return KeyRecord(
        key.tenant_id,
        key.request_id,
        key.method,
        key.fingerprint.hex(),
        key.resource_id,
        outcome_digest(key.outcome),
    )


_encode = msgspec.json.Encoder().encode


def seal(batch: Batch, events: list[Event], *, shard: str, epoch: int, incarnation: str) -> Batch:
    """Return the batch with its body and hash filled in."""
    written: dict[str, object] = {
        "v": VERSION,
        "accounts": _rows(batch.accounts),
        "payments": _rows(batch.payments),
        "merchants": _rows(batch.merchants),
        "transfers": batch.transfers,
        "refunds": batch.refunds,
        "keys": [key_record(stored.key) for stored in batch.keys],
        "deleted_keys": batch.deleted_keys,
        "events": events,
    }
    if batch.crossed is not None:
        written["crossed"] = batch.crossed._asdict()
    if batch.buckets is not None:
        written["buckets"] = batch.buckets
    if batch.copied is not None:
        written["copied"] = {
            "positions": batch.copied.positions,
            "payments": [one.row for one in batch.copied.payments],
            "refunds": [one.row for one in batch.copied.refunds],
            "legs": batch.copied.legs,
            "keys": [(key_record(one.key), one.created_at) for one in batch.copied.keys],
        }
    body = frames.pack(_encode(written))
    digest = chain(
        batch.previous_hash,
        body,
        shard=shard,
        seq=batch.seq,
        epoch=epoch,
        incarnation=incarnation,
        now=batch.now,
    )
    return batch._replace(body=body, hash=digest)


def _rows(changed: Sequence[Changed[Row]]) -> list[Row]:
    return [one.row for one in changed]
