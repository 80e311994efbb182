"""Request keys: each journaled one is there unless it was deleted, and there is no other (I3)."""

from typing import Final, NamedTuple

import asyncpg

from processor.domain.chain import outcome_digest
from processor.domain.view import TOMBSTONE
from storage.verify.journal import KeyRecord, Keys, keys_of
from storage.verify.report import Tally, differences, row
from storage.verify.tables import (
    JOURNAL_ROWS_PER_CHUNK,
    SELECT_JOURNAL,
    SELECT_REQUESTS,
    SELECT_REQUESTS_THAT_EXIST,
    Connection,
    Stream,
    chunks,
)

BUCKETS: Final = 1 << 16
"""Keys that have no row are only added up, in this many sums: the journal may hold years of keys
that were deleted since. A sum that is not zero at the end is looked into by a second reading."""

KEYS_PER_QUERY: Final = 1_000

COMPARED: Final = ("method", "fingerprint", "resource_id", "digest of outcome", "seq", "created_at")

Place = tuple[str, str]


class Reversed(NamedTuple):
    """A tombstone in the journal, until the original arrives or its key is deleted."""

    created_at: int
    has_row: bool


class RequestsCheck:
    """Reads the keys in the order of the batches that wrote them, beside the journal."""

    def __init__(self, stream: Stream) -> None:
        self.tally = Tally("request keys", "I3")
        self._stream = stream
        self._waiting: dict[Place, asyncpg.Record] = {}
        self._tombstones: dict[Place, Reversed] = {}
        self._sums = [0] * BUCKETS

    @classmethod
    async def open(cls, connection: Connection) -> "RequestsCheck":
        """Start reading the table."""
        return cls(await Stream.open(connection, SELECT_REQUESTS))

    async def batch(self, body: Keys, seq: int, now: int) -> None:
        """Take in the keys of a batch, stored and deleted."""
        for record in await self._stream.until(seq):
            self.tally.rows += 1
            self._waiting[record[1], record[2]] = record
        for key in body.keys:
            self._key(key, seq, now)
        for tenant_id, request_id in body.deleted_keys:
            self._deleted(tenant_id, request_id)
        # After the deleted ones, whose place some of them take.
        for key, created_at in body.copied.keys if body.copied else ():
            self._key(key, seq, created_at)

    async def finish(self, connection: Connection) -> None:
        """Report rows without a record, and look into the sums that are not zero."""
        for record in self._waiting.values():
            self._extra(record)
        async for chunk in self._stream.rest():
            for record in chunk:
                self.tally.rows += 1
                self._extra(record)
        guilty = {bucket for bucket, sum_ in enumerate(self._sums) if sum_}
        if guilty:
            await self._look_into(connection, guilty)

    def _key(self, key: KeyRecord, seq: int, now: int) -> None:
        place = (key.tenant_id, key.request_id)
        created_at, tombstone = now, self._tombstones.pop(place, None)
        if tombstone is not None:
            created_at = tombstone.created_at  # The row took the tombstone's place.
            if not tombstone.has_row:
                self._add(place, -1)
        record = self._waiting.get(place)
        found = record is not None and record[0] <= seq
        if record is not None and found:
            del self._waiting[place]
            self._compare(key, record, seq, created_at)
        else:
            self._add(place, 1)
        if key.method == TOMBSTONE:
            self._tombstones[place] = Reversed(now, found)

    def _compare(self, key: KeyRecord, record: asyncpg.Record, seq: int, created_at: int) -> None:
        stored_seq, _, _, method, fingerprint, outcome, resource_id, stored_at = record
        stored = (
            method, fingerprint.hex(), resource_id, outcome_digest(outcome), stored_seq, stored_at,
        )  # fmt: skip
        expected = (
            key.method, key.fingerprint, key.resource_id, key.outcome_digest, seq, created_at,
        )  # fmt: skip
        if stored != expected:
            where = _where((key.tenant_id, key.request_id))
            for breach in differences(where, COMPARED, stored, expected, "record in the journal"):
                self.tally.breach(breach)

    def _deleted(self, tenant_id: str, request_id: str) -> None:
        place = (tenant_id, request_id)
        self._tombstones.pop(place, None)
        self._add(place, -1)

    def _add(self, place: Place, sign: int) -> None:
        # Strings hash with a secret of this process: no one can choose keys that cancel out.
        digest = hash(place)
        self._sums[digest % BUCKETS] += sign * digest

    def _extra(self, record: asyncpg.Record) -> None:
        self.tally.breach(
            f"{_where((record[1], record[2]))}: is in the table with seq {record[0]}, but not in"
            " the journal"
        )

    # What the sums cannot name

    async def _look_into(self, connection: Connection, guilty: set[int]) -> None:
        """Read the journal again for the keys of some buckets, and ask which of them exist."""
        stored: dict[Place, int] = {}
        deleted: dict[Place, int] = {}
        tombstones: set[Place] = set()
        async for chunk in chunks(connection, SELECT_JOURNAL, JOURNAL_ROWS_PER_CHUNK):
            for seq, _, _, text, *_ in chunk:
                body = keys_of(text)
                for key in body.keys if body else ():
                    place = (key.tenant_id, key.request_id)
                    if hash(place) % BUCKETS not in guilty:
                        continue
                    if place in stored and place not in tombstones:
                        self.tally.breach(
                            f"{_where(place)}: journaled in seq {seq} and in {stored[place]}"
                        )
                    tombstones.discard(place)
                    if key.method == TOMBSTONE:
                        tombstones.add(place)
                    deleted.pop(place, None)
                    stored[place] = seq
                for tenant_id, request_id in body.deleted_keys if body else ():
                    place = (tenant_id, request_id)
                    if hash(place) % BUCKETS in guilty:
                        stored.pop(place, None)
                        deleted[place] = seq
                for key, _ in body.copied.keys if body and body.copied else ():
                    place = (key.tenant_id, key.request_id)
                    if hash(place) % BUCKETS in guilty:
                        deleted.pop(place, None)
                        stored[place] = seq
        for place in await _absent(connection, stored):
            self.tally.breach(f"{_where(place)}: is missing (journal seq={stored[place]})")
        for place in deleted.keys() - await _absent(connection, deleted):
            self.tally.breach(
                f"{_where(place)}: is in the table, but journal seq={deleted[place]} deleted it"
            )


async def _absent(connection: Connection, places: dict[Place, int]) -> set[Place]:
    """Return which of the keys have no row."""
    absent = set(places)
    asked = list(places)
    for start in range(0, len(asked), KEYS_PER_QUERY):
        part = asked[start : start + KEYS_PER_QUERY]
        tenants, requests = [place[0] for place in part], [place[1] for place in part]
        rows = await connection.fetch(SELECT_REQUESTS_THAT_EXIST, tenants, requests)
        absent -= {(tenant_id, request_id) for tenant_id, request_id in rows}
    return absent


def _where(place: Place) -> str:
    return row("requests", tenant_id=place[0], request_id=repr(place[1]))
