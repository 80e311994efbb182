"""Reads a bucket to copy it to another shard: once through the tables, then what the journal says.

The walk is by primary key in bounded steps, for no index leads to a bucket's rows. What changes
meanwhile is in the journal after the commit at which the walk began, and is read once more.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg
import msgspec

from kit import frames
from processor.domain import ids
from processor.domain.copies import CopiedKey, CopiedLeg, Page
from processor.domain.payments import Payment, Refund
from processor.domain.view import Key, Position
from storage.postgres import columns, rows

ROWS_MAX: Final = 200
"""Payments or keys in a page: with its other commands, a batch at the destination stays short."""
SCAN_MAX: Final = 20_000
"""Rows of a table that one page looks through: some tens of ms."""
JOURNAL_ROWS_MAX: Final = 50
"""Rows of the journal that one page reads: some tens of ms."""
SECONDS_MAX: Final = 5.0

_HEAD = "SELECT seq, incarnation FROM journal ORDER BY seq DESC LIMIT 1"
_INCARNATION = "SELECT incarnation FROM journal WHERE seq = $1"
_JOURNAL = "SELECT seq, incarnation, body FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2"

_PAYMENTS = f"""
SELECT {rows.PAYMENT_COLUMNS}
  FROM (SELECT * FROM payments WHERE id > $1 ORDER BY id LIMIT {SCAN_MAX}) AS scanned
 WHERE right(scanned.id, 2) = $2
 ORDER BY scanned.id LIMIT {ROWS_MAX}
"""
_PAYMENTS_END = f"""
SELECT id FROM payments WHERE id > $1 ORDER BY id OFFSET {SCAN_MAX - 1} LIMIT 1
"""
_PAYMENTS_NAMED = f"""
SELECT {rows.PAYMENT_COLUMNS} FROM payments WHERE id = ANY($1::text::text[]) ORDER BY id
"""
_REFUNDS = f"""
SELECT {rows.REFUND_COLUMNS} FROM refunds
 WHERE payment_id = ANY($1::text::text[]) ORDER BY id
"""
_LEGS = f"""
SELECT $2 AS source, destination, number, payment_id, state, convert_from(body, 'UTF8'),
       {rows.micros("created_at")}
  FROM legs_sent
 WHERE payment_id = ANY($1::text::text[]) AND payment_id <> '' AND transfer_id <> ''
UNION ALL
SELECT source, destination, number, payment_id, state, convert_from(body, 'UTF8'),
       {rows.micros("created_at")}
  FROM legs_moved
 WHERE payment_id = ANY($1::text::text[])
"""
# A key that leads to nothing may be anybody's; few do, and a copy too many answers nothing wrong.
_OF_BUCKET = "right(split_part({0}.resource_id, ' ', 1), 2) = {1} OR {0}.resource_id = ''"
_KEYS = f"""
SELECT {rows.KEY_COLUMNS}, {rows.micros("created_at")}
  FROM (SELECT * FROM requests WHERE (tenant_id, request_id) > ($1, $2)
         ORDER BY tenant_id, request_id LIMIT {SCAN_MAX}) AS scanned
 WHERE {_OF_BUCKET.format("scanned", "$3")}
 ORDER BY scanned.tenant_id, scanned.request_id LIMIT {ROWS_MAX}
"""
_KEYS_END = f"""
SELECT tenant_id, request_id FROM requests WHERE (tenant_id, request_id) > ($1, $2)
 ORDER BY tenant_id, request_id OFFSET {SCAN_MAX - 1} LIMIT 1
"""
_KEYS_NAMED = f"""
SELECT {rows.KEY_COLUMNS}, {rows.micros("created_at")}
  FROM unnest($1::text::text[], $2::text::text[]) AS k (t, r)
  JOIN requests ON tenant_id = k.t AND request_id = k.r
 ORDER BY tenant_id, request_id
"""


class _Image(msgspec.Struct, array_like=True):
    id: str


class _Record(msgspec.Struct, array_like=True):
    tenant_id: str
    request_id: str
    method: str
    fingerprint: str
    resource_id: str


class _Body(msgspec.Struct):
    """What tells which rows a batch wrote."""

    payments: list[_Image]
    keys: list[_Record]


class _Found(NamedTuple):
    payments: Sequence[Payment] = ()
    refunds: Sequence[Refund] = ()
    legs: Sequence[CopiedLeg] = ()
    keys: Sequence[CopiedKey] = ()


_decode: Final = msgspec.json.Decoder(_Body).decode
_decode_place: Final = msgspec.json.Decoder(list[str]).decode


class Copies:
    """Reads pages of buckets over one connection of the shard's primary."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", shard: str) -> None:
        self._connection = connection
        self._shard = shard

    async def page(self, region: str, bucket: str, after: Position | None) -> Page:
        """Return the page after a position, or the first one if that is not of this history."""
        if after is not None and not await self._is_ours(after):
            after = None
        if after is None:
            head = await self._connection.fetchrow(_HEAD, timeout=SECONDS_MAX)
            seq, incarnation = (head["seq"], head["incarnation"]) if head else (0, "")
            start = Position(self._shard, incarnation, seq, _place("payments", ""))
            return await self._walk(region, bucket, start, None)
        if after.place:
            return await self._walk(region, bucket, after, after)
        return await self._follow(region, bucket, after)

    async def _is_ours(self, position: Position) -> bool:
        if position.source != self._shard:
            return False
        if not position.seq:
            return True
        found = await self._connection.fetchval(_INCARNATION, position.seq, timeout=SECONDS_MAX)
        return bool(found == position.incarnation)

    async def _walk(self, region: str, bucket: str, at: Position, after: Position | None) -> Page:
        """Read the next rows of the table at which the walk stands."""
        table, *last = _decode_place(at.place)
        walk = self._walk_payments if table == "payments" else self._walk_keys
        found, place = await walk(bucket, last)
        to = at._replace(place=place)
        return _page(f"{region}/{bucket}", after, to, found)

    async def _walk_payments(self, bucket: str, last: Sequence[str]) -> tuple[_Found, str]:
        fetch = self._connection.fetch
        payments = [
            rows.payment(row)
            for row in await fetch(_PAYMENTS, last[0], bucket, timeout=SECONDS_MAX)
        ]
        end: str | None = None
        if len(payments) == ROWS_MAX:
            end = payments[-1].id
        else:
            end = await self._connection.fetchval(_PAYMENTS_END, last[0], timeout=SECONDS_MAX)
        place = _place("keys", "", "") if end is None else _place("payments", end)
        return await self._with_refunds(payments), place

    async def _walk_keys(self, bucket: str, last: Sequence[str]) -> tuple[_Found, str]:
        found = await self._connection.fetch(_KEYS, *last, bucket, timeout=SECONDS_MAX)
        keys = [_key(row) for row in found]
        if len(keys) == ROWS_MAX:
            return _Found(keys=keys), _place("keys", *keys[-1].key[:2])
        end = await self._connection.fetchrow(_KEYS_END, *last, timeout=SECONDS_MAX)
        return _Found(keys=keys), _place("keys", *end) if end else ""

    async def _follow(self, region: str, bucket: str, after: Position) -> Page:
        """Read what the journal names after a position, as it stands now."""
        journaled = await self._connection.fetch(
            _JOURNAL, after.seq, JOURNAL_ROWS_MAX, timeout=SECONDS_MAX
        )
        changed: dict[str, None] = {}
        asked: dict[tuple[str, str], None] = {}
        to = after
        home = f"{region}/{bucket}"
        for seq, incarnation, packed in journaled:
            await asyncio.sleep(0)  # Some ms each, in the lane's own process.
            body = _decode(frames.unpack(packed))
            for image in body.payments:
                if ids.home_of_id(image.id) == home:
                    changed[image.id] = None
            for record in body.keys:
                resource = record.resource_id.partition(" ")[0]
                if not resource or ids.home_of_id(resource) == home:
                    asked[record.tenant_id, record.request_id] = None
            to = after._replace(seq=seq, incarnation=incarnation)
            if len(changed) + len(asked) >= ROWS_MAX:
                break
        return _page(home, after, to, await self._named(list(changed), list(asked)))

    async def _named(self, changed: list[str], asked: list[tuple[str, str]]) -> _Found:
        fetch = self._connection.fetch
        payments: list[Payment] = []
        keys: list[CopiedKey] = []
        if changed:
            named = await fetch(_PAYMENTS_NAMED, columns.text_array(changed), timeout=SECONDS_MAX)
            payments = [rows.payment(row) for row in named]
        if asked:
            tenants = columns.text_array([tenant_id for tenant_id, _ in asked])
            requests = columns.text_array([request_id for _, request_id in asked])
            named = await fetch(_KEYS_NAMED, tenants, requests, timeout=SECONDS_MAX)
            keys = [_key(row) for row in named]
        return (await self._with_refunds(payments))._replace(keys=keys)

    async def _with_refunds(self, payments: Sequence[Payment]) -> _Found:
        """Return payments with their refunds and the legs that took their money elsewhere."""
        captured = [payment.id for payment in payments if payment.captured]
        if not captured:
            return _Found(payments)
        found = await self._connection.fetch(
            _REFUNDS, columns.text_array(captured), timeout=SECONDS_MAX
        )
        sent = await self._connection.fetch(
            _LEGS, columns.text_array(captured), self._shard, timeout=SECONDS_MAX
        )
        refunds = [rows.refund(row) for row in found]
        return _Found(payments, refunds, [CopiedLeg(*row) for row in sent])


def _page(home: str, after: Position | None, to: Position, found: _Found) -> Page:
    return Page(
        home,
        after,
        to,
        tuple(found.payments),
        tuple(found.refunds),
        tuple(found.legs),
        tuple(found.keys),
    )


def _key(row: asyncpg.Record) -> CopiedKey:
    return CopiedKey(Key(*row[:-1]), row["created_at"])


def _place(table: str, *last: str) -> str:
    return msgspec.json.encode([table, *last]).decode()
