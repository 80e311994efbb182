"""Lays a batch out as the arguments of apply_batch_v1: one array per column."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from processor.domain.merchants import Merchant
from processor.ports import Batch, Ownership
from storage.postgres import rows

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# How each column goes over the wire, a letter a column: t text, y bytea, i bigint, n integer,
# b boolean; a capital may be null. All but bytea go as the text of an array: the driver looks at
# every element of a list twice to find out whether it is a list again, which costs more than all
# the rest, and the server reads the text as fast as the binary form.
_HEADER: Final = (
    "text",
    "bigint",
    "text",
    "text",
    "bigint",
    "bytea",
    "bytea",
    "text",
    "timestamptz",
)
_NEW_ACCOUNT: Final = "ttttttiiIi"
_CHANGED_ACCOUNT: Final = "tiitii"
_NEW_PAYMENT: Final = "tttttttttiiiiiiinitItti"
_CHANGED_PAYMENT: Final = "tiitiiiiii"
_TRANSFER: Final = "tttittTTtii"
_REFUND: Final = "tttitit"
_MERCHANT: Final = "tiittttt"
_KEY: Final = "tttyytb"
_DELETED_KEY: Final = "tt"
_ROWS: Final = (
    _NEW_ACCOUNT
    + _CHANGED_ACCOUNT
    + _NEW_PAYMENT
    + _CHANGED_PAYMENT
    + _TRANSFER
    + _REFUND
    + _MERCHANT
    + _KEY
    + _DELETED_KEY
)
_CASTS: Final = {
    "t": "text::text[]",
    "y": "bytea[]",
    "i": "text::bigint[]",
    "n": "text::integer[]",
    "b": "text::boolean[]",
}

ARGUMENT_TYPES: Final = (*_HEADER, *(_CASTS[letter.lower()] for letter in _ROWS))
"""The cast of each argument of apply_batch_v1, in its order."""


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
        *_columns(new_accounts, _NEW_ACCOUNT),
        *_columns(changed_accounts, _CHANGED_ACCOUNT),
        *_columns(new_payments, _NEW_PAYMENT),
        *_columns(changed_payments, _CHANGED_PAYMENT),
        *_columns([row[:11] for row in batch.transfers], _TRANSFER),
        *_columns([row[:7] for row in batch.refunds], _REFUND),
        *_columns([_merchant(expected, row) for expected, row in batch.merchants], _MERCHANT),
        *_columns(keys, _KEY),
        *_columns(list(batch.deleted_keys), _DELETED_KEY),
    ]


def _columns(records: Sequence[Sequence[Any]], letters: str) -> Iterator[Any]:
    if not records:
        for letter in letters:
            yield () if letter == "y" else "{}"
        return
    for letter, column in zip(letters, zip(*records, strict=True), strict=True):
        if letter == "y":
            yield column
        elif letter == "t":
            yield text_array(column)
        elif letter == "b":
            yield "{" + ",".join("t" if value else "f" for value in column) + "}"
        elif letter.isupper():
            quoted = _quoted if letter == "T" else str
            yield "{" + ",".join("NULL" if one is None else quoted(one) for one in column) + "}"
        else:
            yield "{" + ",".join(map(str, column)) + "}"


def text_array(column: Sequence[str]) -> str:
    """Return the text of an array of texts."""
    if not column:
        return "{}"
    joined = '","'.join(column)
    if "\\" in joined or joined.count('"') != 2 * (len(column) - 1):
        return "{" + ",".join(map(_quoted, column)) + "}"
    return '{"' + joined + '"}'


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


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
