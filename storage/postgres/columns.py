"""Lays a batch out as the arguments of apply_batch_v1: one array per column."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from processor.domain.merchants import Merchant
from processor.ports import Batch, Ownership
from storage.postgres import rows

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Column = Sequence[Any]


def instant(time_us: int) -> datetime:
    """Return the time for µs since 1970."""
    return EPOCH + timedelta(microseconds=time_us)


def arguments(ownership: Ownership, batch: Batch) -> list[Any]:
    """Return the arguments of apply_batch_v1, in its order."""
    new_accounts = [row[:10] for expected, row in batch.accounts if not expected]
    changed_accounts = [
        (row.id, expected, row.version, row.state, row.posted, row.held)
        for expected, row in batch.accounts
        if expected
    ]
    new_payments = [row[:23] for expected, row in batch.payments if not expected]
    changed_payments = [
        (
            row.id,
            expected,
            row.version,
            row.state,
            row.captured,
            row.capturable,
            row.refunded,
            row.refund_pending,
            row.fee,
            row.fee_refunded,
        )
        for expected, row in batch.payments
        if expected
    ]
    keys = [
        (
            key.tenant_id,
            key.request_id,
            key.method,
            key.fingerprint,
            key.outcome,
            key.resource_id,
            fulfils,
        )
        for key, fulfils in batch.keys
    ]
    return [
        ownership.shard,
        ownership.epoch,
        ownership.owner,
        ownership.incarnation,
        batch.seq,
        batch.previous_hash,
        batch.hash,
        batch.body,
        instant(batch.now),
        *_columns(new_accounts, 10),
        *_columns(changed_accounts, 6),
        *_columns(new_payments, 23),
        *_columns(changed_payments, 10),
        *_columns([row[:11] for row in batch.transfers], 11),
        *_columns([row[:7] for row in batch.refunds], 7),
        *_columns([_merchant(expected, row) for expected, row in batch.merchants], 8),
        *_columns(keys, 7),
        *_columns(list(batch.deleted_keys), 2),
    ]


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[Column]:
    if not rows:
        return [()] * width
    columns: list[Column] = list(zip(*rows, strict=True))
    assert len(columns) == width
    return columns


def _merchant(expected: int, row: Merchant) -> tuple[Any, ...]:
    return (
        row.id,
        expected,
        row.version,
        row.tenant_id,
        row.reference,
        row.display_name,
        row.state,
        rows.encode_terms(row.settlement_terms),
    )
