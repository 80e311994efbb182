"""Writes records into the projection: within a transaction that is given, on its search path.

Rows that several members may want are locked in the order of their keys. `report` and the schema
that is being built have the same tables, so that no statement here names a schema.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from processor.consumers.ports import TryAgain
from services.reporting import images, sql
from services.reporting.images import Known, Standing, Totals
from services.reporting.records import (
    AccountImage,
    MerchantImage,
    PaymentImage,
    Place,
    Records,
    RefundImage,
    TransferRow,
)
from services.reporting.sql import Columns

PAYMENTS: Final = Columns.of(
    "id text, tenant_id text, merchant_id text, payer_account_id text, state text,"
    "decline_reason text, capture_method text, currency text, amount bigint, captured bigint,"
    "refunded bigint, refund_pending bigint, fee bigint, fee_refunded bigint, description text,"
    "metadata jsonb, version bigint, created_at timestamptz, updated_at timestamptz,"
    "shard text, incarnation text, told_at timestamptz, earlier jsonb"
)
REFUNDS: Final = Columns.of(
    "id text, payment_id text, tenant_id text, merchant_id text, state text, currency text,"
    "amount bigint, fee_refunded bigint, created_at timestamptz,"
    "shard text, incarnation text, told_at timestamptz"
)
TRANSFERS: Final = Columns.of(
    "id text, source_account_id text, destination_account_id text, amount bigint, currency text,"
    "reason text, payment_id text, refund_id text, description text, remote_account_id text,"
    "source_posted_after bigint, destination_posted_after bigint, place integer,"
    "shard text, incarnation text, seq bigint, told_at timestamptz"
)
ACCOUNTS: Final = Columns.of(
    "id text, tenant_id text, user_id text, kind text, currency text, state text, posted bigint,"
    "held bigint, version bigint, shard text, incarnation text, told_at timestamptz"
)
MERCHANTS: Final = Columns.of(
    "id text, tenant_id text, reference text, display_name text, account_ids text,"
    "version bigint, shard text, incarnation text, told_at timestamptz"
)
DAY_STATES: Final = Columns.of(
    "tenant_id text, merchant_id text, currency text, day date, state text, payments bigint,"
    "amount bigint"
)
DAY_VOLUMES: Final = Columns.of(
    "tenant_id text, merchant_id text, currency text, day date, captured bigint, fees bigint,"
    "refunds bigint, refunded bigint, fees_refunded bigint"
)
POSITIONS: Final = Columns.of(
    "shard text, incarnation text, first_seq bigint, first_at timestamptz, seq bigint,"
    "told_at timestamptz"
)

_KNOWN_PAYMENTS: Final = f"""
SELECT {PAYMENTS.listed} FROM payments WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE
"""
_NEW_PAYMENTS: Final = f"""
INSERT INTO payments ({PAYMENTS.listed}) SELECT {PAYMENTS.listed} FROM {PAYMENTS.unfolded}
ON CONFLICT (id) DO NOTHING
"""
_CHANGED_PAYMENTS: Final = f"""
UPDATE payments AS p
   SET state = it.state, decline_reason = it.decline_reason, amount = it.amount,
       captured = it.captured, refunded = it.refunded, refund_pending = it.refund_pending,
       fee = it.fee, fee_refunded = it.fee_refunded, version = it.version,
       updated_at = it.updated_at, shard = it.shard, incarnation = it.incarnation,
       told_at = it.told_at, earlier = it.earlier
  FROM {PAYMENTS.unfolded}
 WHERE p.id = it.id
"""
_KNOWN_REFUNDS: Final = f"""
SELECT {REFUNDS.listed} FROM refunds WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE
"""
_NEW_REFUNDS: Final = f"""
INSERT INTO refunds ({REFUNDS.listed}) SELECT {REFUNDS.listed} FROM {REFUNDS.unfolded}
ON CONFLICT (id) DO NOTHING
"""
_CHANGED_REFUNDS: Final = f"""
UPDATE refunds AS r
   SET state = it.state, amount = it.amount, fee_refunded = it.fee_refunded, shard = it.shard,
       incarnation = it.incarnation, told_at = it.told_at
  FROM {REFUNDS.unfolded}
 WHERE r.id = it.id
"""
_TRANSFERS: Final = f"""
INSERT INTO transfers ({TRANSFERS.listed}) SELECT {TRANSFERS.listed} FROM {TRANSFERS.unfolded}
ON CONFLICT (id) DO NOTHING
"""
# As images.is_newer says it.
_IS_NEWER: Final = """
CASE WHEN known.shard = excluded.shard AND known.incarnation <> excluded.incarnation
     THEN excluded.told_at > known.told_at
     ELSE excluded.version > known.version
 END
"""
_ACCOUNTS: Final = f"""
INSERT INTO accounts AS known ({ACCOUNTS.listed})
SELECT {ACCOUNTS.listed} FROM {ACCOUNTS.unfolded}
ON CONFLICT (id) DO UPDATE
   SET state = excluded.state, posted = excluded.posted, held = excluded.held,
       version = excluded.version, shard = excluded.shard, incarnation = excluded.incarnation,
       told_at = excluded.told_at
 WHERE {_IS_NEWER}
"""
_MERCHANTS: Final = f"""
INSERT INTO merchants AS known ({MERCHANTS.listed})
SELECT id, tenant_id, reference, display_name, string_to_array(account_ids, ' '), version, shard,
       incarnation, told_at
  FROM {MERCHANTS.unfolded}
ON CONFLICT (id) DO UPDATE
   SET display_name = excluded.display_name, account_ids = excluded.account_ids,
       version = excluded.version, shard = excluded.shard, incarnation = excluded.incarnation,
       told_at = excluded.told_at
 WHERE {_IS_NEWER}
"""
_DAY_STATES: Final = f"""
INSERT INTO day_states AS known ({DAY_STATES.listed})
SELECT {DAY_STATES.listed} FROM {DAY_STATES.unfolded}
ON CONFLICT (merchant_id, currency, day, state) DO UPDATE
   SET payments = known.payments + excluded.payments, amount = known.amount + excluded.amount
"""
_DAY_VOLUMES: Final = f"""
INSERT INTO day_volumes AS known ({DAY_VOLUMES.listed})
SELECT {DAY_VOLUMES.listed} FROM {DAY_VOLUMES.unfolded}
ON CONFLICT (merchant_id, currency, day) DO UPDATE
   SET captured = known.captured + excluded.captured, fees = known.fees + excluded.fees,
       refunds = known.refunds + excluded.refunds, refunded = known.refunded + excluded.refunded,
       fees_refunded = known.fees_refunded + excluded.fees_refunded
"""
_POSITIONS: Final = f"""
INSERT INTO positions AS known ({POSITIONS.listed})
SELECT {POSITIONS.listed} FROM {POSITIONS.unfolded}
ON CONFLICT (shard, incarnation) DO UPDATE
   SET first_seq = least(known.first_seq, excluded.first_seq),
       first_at = least(known.first_at, excluded.first_at),
       seq = greatest(known.seq, excluded.seq),
       told_at = greatest(known.told_at, excluded.told_at)
 WHERE excluded.seq > known.seq OR excluded.first_seq < known.first_seq
"""


async def write(connection: Any, records: Records) -> None:
    """Take records in. Raises TryAgain when another member had the same payment just now."""
    totals = Totals()
    await _write_payments(connection, records.payments, totals)
    await _write_refunds(connection, records.refunds, totals)
    await _insert(connection, _TRANSFERS, TRANSFERS, [transfer(it) for it in records.transfers])
    await _insert(
        connection, _ACCOUNTS, ACCOUNTS, [account(it) for it in images.newest(records.accounts)]
    )
    await _insert(
        connection, _MERCHANTS, MERCHANTS, [merchant(it) for it in images.newest(records.merchants)]
    )
    # Last, for these rows are the ones that others wait for.
    states = [(*key[:3], sql.day(key.day), key.state, *it) for key, it in totals.states()]
    await _insert(connection, _DAY_STATES, DAY_STATES, states)
    volumes = [(*key[:3], sql.day(key.day), *it) for key, it in totals.volumes()]
    await _insert(connection, _DAY_VOLUMES, DAY_VOLUMES, volumes)
    await _insert(connection, _POSITIONS, POSITIONS, positions(records.places))


async def _insert(
    connection: Any, statement: str, columns: Columns, rows: Sequence[Sequence[Any]]
) -> int:
    """Return how many rows were written."""
    if not rows:
        return 0
    status: str = await connection.execute(statement, *sql.arguments(rows, columns))
    return int(status.rpartition(" ")[2])


async def _write_payments(connection: Any, found: Sequence[PaymentImage], totals: Totals) -> None:
    if not found:
        return
    ids = sorted({image.id for image in found})
    rows = await connection.fetch(_KNOWN_PAYMENTS, ids)
    before: dict[str, Known] = {row["id"]: known(row) for row in rows}
    after = dict(before)
    for image in found:
        after[image.id] = images.take(after.get(image.id), image)
    new = [payment(after[one]) for one in ids if one not in before]
    if await _insert(connection, _NEW_PAYMENTS, PAYMENTS, new) != len(new):
        raise TryAgain("another member had a payment at the same time")
    changed = [one for one in before if after[one] is not before[one]]
    await _insert(connection, _CHANGED_PAYMENTS, PAYMENTS, [payment(after[one]) for one in changed])
    for one in changed:
        images.add(totals, before[one], -1)
    for one in ids:
        if one not in before or after[one] is not before[one]:
            images.add(totals, after[one], 1)


async def _write_refunds(connection: Any, found: Sequence[RefundImage], totals: Totals) -> None:
    if not found:
        return
    ids = sorted({image.id for image in found})
    rows = await connection.fetch(_KNOWN_REFUNDS, ids)
    before = {row["id"]: known_refund(row) for row in rows}
    after = dict(before)
    for image in found:
        after[image.id] = images.take_refund(after.get(image.id), image)
    new = [refund(after[one]) for one in ids if one not in before]
    if await _insert(connection, _NEW_REFUNDS, REFUNDS, new) != len(new):
        raise TryAgain("another member had a refund at the same time")
    changed = [one for one in before if after[one] is not before[one]]
    await _insert(connection, _CHANGED_REFUNDS, REFUNDS, [refund(after[one]) for one in changed])
    for one in changed:
        images.add_refund(totals, before[one], -1)
    for one in ids:
        if one not in before or after[one] is not before[one]:
            images.add_refund(totals, after[one], 1)


def known(row: asyncpg.Record) -> Known:
    """Return the payment of a row."""
    *fields, created_at, updated_at, shard, incarnation, told_at, earlier = row
    place = Place(shard, incarnation, 0, sql.micros(told_at))
    image = PaymentImage._make((*fields, sql.micros(created_at), sql.micros(updated_at), place))
    return Known(image, tuple(Standing(*it) for it in json.loads(earlier)))


def payment(it: Known) -> tuple[Any, ...]:
    """Return the row of a payment."""
    *fields, created_at, updated_at, place = it.image
    return (
        *fields,
        sql.instant(created_at),
        sql.instant(updated_at),
        *_said_by(place),
        json.dumps(it.earlier),
    )


def _said_by(place: Place) -> tuple[Any, ...]:
    return place.shard, place.incarnation, sql.instant(place.at)


def known_refund(row: asyncpg.Record) -> RefundImage:
    """Return the refund of a row."""
    *fields, created_at, shard, incarnation, told_at = row
    place = Place(shard, incarnation, 0, sql.micros(told_at))
    return RefundImage._make((*fields, sql.micros(created_at), place))


def refund(it: RefundImage) -> tuple[Any, ...]:
    """Return the row of a refund."""
    *fields, created_at, place = it
    return (*fields, sql.instant(created_at), *_said_by(place))


def transfer(it: TransferRow) -> tuple[Any, ...]:
    """Return the row of a transfer."""
    *fields, place = it
    return (*fields, place.shard, place.incarnation, place.seq, sql.instant(place.at))


def account(it: AccountImage) -> tuple[Any, ...]:
    """Return the row of an account."""
    *fields, place = it
    return (*fields, *_said_by(place))


def merchant(it: MerchantImage) -> tuple[Any, ...]:
    """Return the row of a merchant; ids have no blanks."""
    return (*it[:4], " ".join(it.account_ids), it.version, *_said_by(it.place))


def positions(places: Sequence[Place]) -> list[tuple[Any, ...]]:
    """Return one row per history, of the first and the newest of its commits."""
    found: dict[tuple[str, str], list[Place]] = {}
    for place in places:
        ends = found.setdefault(place[:2], [place, place])
        if place.seq < ends[0].seq:
            ends[0] = place
        if place.seq > ends[1].seq:
            ends[1] = place
    return [
        (*key, first.seq, sql.instant(first.at), last.seq, sql.instant(last.at))
        for key, (first, last) in sorted(found.items())
    ]
