"""Lays a batch out as the arguments of apply_batch_v1: one array per column.

A column that says the same of every row goes as that one value, and the server fills the array.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from processor.domain.merchants import Merchant
from processor.ports import Batch, Changed, Ownership
from storage.postgres import rows

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# How each column goes over the wire, a letter a column: t text, y bytea, i bigint, n integer,
# b boolean; a capital may be null; a dot is a field that is not sent, since the server sets it. All
# but bytea go as one text: the driver looks at every element of a list twice to find out whether it
# is a list again, which costs more than all the rest.
_HEADER: Final = (
    "text",
    "bigint",
    "text",
    "text",
    "bigint",
    "bytea",
    "bytea",
    "bytea",
    "timestamptz",
    "bigint",
)
_NEW_ACCOUNT: Final = "ttttttiiIi..tt"
_CHANGED_ACCOUNT: Final = "tiitiitt"
_NEW_PAYMENT: Final = "tttttttttiiiiiiinitItti..t"
_CHANGED_PAYMENT: Final = "tiitiiiiii"
_TRANSFER: Final = "tttittTTtii.tt"
_REFUND: Final = "tttitit.."
_KEY: Final = "tttyytb"
_TABLES: Final = (
    _NEW_ACCOUNT,
    _CHANGED_ACCOUNT,
    _NEW_PAYMENT,
    _CHANGED_PAYMENT,
    _TRANSFER,
    _REFUND,
    _KEY,
)
_RARE: Final = "jsonb"

_encode: Final = msgspec.json.Encoder().encode

SEPARATOR: Final = "\x1f"
"""Between texts: the server splits at a character twice as fast as it reads an array's text."""

_SAME: Final = "\x1e"
"""Before a value that every row has."""
_MARKS: Final = "{" + _SAME
"""Which no text may begin with that is to be split."""

# Where texts cannot be split, they come as an array's text after all, known by its brace.
_TEXTS: Final = (
    "CASE WHEN starts_with({place}::text, E'\\x1e')"
    " THEN array_fill({one}, ARRAY[{rows}::integer])"
    " WHEN starts_with({place}::text, '{{') THEN {place}::text::text[]"
    " ELSE string_to_array({place}::text, E'\\x1f'{null}) END"
)
_NUMBERS: Final = (
    "CASE WHEN starts_with({place}::text, '{{') THEN {place}::text::TYPE[]"
    " ELSE array_fill(nullif({place}::text, '')::TYPE, ARRAY[{rows}::integer]) END"
)
READ: Final = {
    "t": _TEXTS.replace("{null}", "").replace("{one}", "substr({place}::text, 2)"),
    "T": _TEXTS.replace("{null}", ", ''").replace("{one}", "nullif(substr({place}::text, 2), '')"),
    "y": "{place}::bytea[]",
    "i": _NUMBERS.replace("TYPE", "bigint"),
    "I": _NUMBERS.replace("TYPE", "bigint"),
    "n": _NUMBERS.replace("TYPE", "integer"),
    "b": _NUMBERS.replace("TYPE", "boolean"),
}
"""How a column of each letter is read from its parameter and the count of its table's rows."""


def _arguments() -> Iterator[str]:
    """Yield how each argument is made of the parameters; behind these come the counts of rows."""
    letters = [(letter, table) for table, row in enumerate(_TABLES) for letter in row]
    sent = [(letter, table) for letter, table in letters if letter != "."]
    number = 0
    for name in _HEADER:
        number += 1
        yield f"${number}::{name}"
    counts = len(_HEADER) + len(sent) + 1
    for letter, table in sent:
        number += 1
        yield READ[letter].format(place=f"${number}", rows=f"${counts + 1 + table}")
    yield f"${counts}::{_RARE}"


ARGUMENTS: Final = tuple(_arguments())
"""How apply_batch_v1 is given each argument, in its order."""

PARAMETERS: Final = len(ARGUMENTS) + len(_TABLES)
"""How many parameters they are made of."""


def instant(time_us: int) -> datetime:
    """Return the time for µs since 1970."""
    return EPOCH + timedelta(microseconds=time_us)


def arguments(ownership: Ownership, batch: Batch) -> list[Any]:
    """Return what the arguments of apply_batch_v1 are made of, in the order of the parameters."""
    # One that is older than the batch came from another shard; see `copied`.
    new_accounts = [
        row for expected, row in batch.accounts if not expected and row.created_at == batch.now
    ]
    changed_accounts = [
        (
            row.id,
            expected,
            row.version,
            row.state,
            row.posted,
            row.held,
            row.last_transfer_id,
            row.last_payment_id,
        )
        for expected, row in batch.accounts
        if expected
    ]
    new_payments = [row for expected, row in batch.payments if not expected]
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
    tables: tuple[Sequence[Sequence[Any]], ...] = (
        new_accounts,
        changed_accounts,
        new_payments,
        changed_payments,
        batch.transfers,
        batch.refunds,
        keys,
    )
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
        batch.buckets_version,
        *[
            column
            for rows, row in zip(tables, _TABLES, strict=True)
            for column in laid_out(rows, row)
        ],
        rare(batch),
        *map(len, tables),
    ]


def rare(batch: Batch) -> str | None:
    """Return what apply_rare_v1 reads; None when the batch has none of it, as most have."""
    crossed, buckets = batch.crossed, batch.buckets
    if crossed is None and buckets is None and not batch.merchants and not batch.deleted_keys:
        return None
    found: dict[str, Any] = {}
    if buckets is not None:
        found["buckets"] = [
            {
                "region": buckets.region,
                "version": buckets.version,
                "ranges": rows.encode_buckets(buckets),
            }
        ]
    if batch.merchants:
        found["merchants"] = [_merchant(one) for one in batch.merchants]
    if batch.deleted_keys:
        found["deleted_keys"] = [
            {"tenant_id": tenant_id, "request_id": request_id}
            for tenant_id, request_id in batch.deleted_keys
        ]
    if crossed is not None:
        found["settled"] = [
            {
                "id": row.id,
                "state": row.state,
                "fee_refunded": row.fee_refunded,
                "failure_reason": row.failure_reason,
            }
            for row in crossed.settled
        ]
        found["sent"] = [leg._asdict() for leg in crossed.sent]
        found["received"] = [leg._asdict() for leg in crossed.received]
        for name in ("suspended", "acknowledged"):
            found[name] = [
                {"destination": destination, "number": number}
                for destination, number in getattr(crossed, name)
            ]
    return _encode(found).decode()


def copied(batch: Batch) -> str | None:
    """Return what apply_copied_v1 reads; None when the batch brings nothing of another shard."""
    moved = [
        row for expected, row in batch.accounts if not expected and row.created_at != batch.now
    ]
    if batch.copied is None and not moved:
        return None
    found: dict[str, Any] = {
        "accounts": [row._asdict() | {"created_us": row.created_at} for row in moved]
    }
    for name in ("payments", "refunds", "legs", "keys", "positions"):
        found[name] = []
    if batch.copied is not None:
        found["payments"] = [
            row._asdict()
            | {
                "expected": expected,
                "hold_expires_us": row.hold_expires_at,
                "created_us": row.created_at,
                "updated_us": row.updated_at,
            }
            for expected, row in batch.copied.payments
        ]
        found["refunds"] = [
            row._asdict() | {"is_new": not expected, "created_us": row.created_at}
            for expected, row in batch.copied.refunds
        ]
        found["legs"] = [
            leg._asdict() | {"created_us": leg.created_at} for leg in batch.copied.legs
        ]
        found["keys"] = [
            key._asdict()
            | {
                "fingerprint": key.fingerprint.hex(),
                "outcome": key.outcome.hex(),
                "created_us": created_at,
            }
            for key, created_at in batch.copied.keys
        ]
        found["positions"] = [
            position._asdict() | {"bucket": bucket} for bucket, position in batch.copied.positions
        ]
    return _encode(found).decode()


def laid_out(records: Sequence[Sequence[Any]], letters: str) -> Iterator[Any]:
    """Yield a table's columns as they are sent."""
    if not records:
        for letter in letters.replace(".", ""):
            yield () if letter == "y" else "{}"
        return
    for letter, column in zip(letters, zip(*records, strict=True), strict=True):
        if letter == ".":
            continue
        first = column[0]
        if letter == "y":
            yield column
        elif first == column[-1] and column.count(first) == len(column):
            yield _same(first, letter)
        elif letter == "t":
            yield _texts(column)
        elif letter == "b":
            yield "{" + ",".join("t" if value else "f" for value in column) + "}"
        elif letter == "T":
            yield _texts_or_null(column)
        elif letter == "I":
            yield "{" + ",".join("NULL" if one is None else str(one) for one in column) + "}"
        else:
            yield "{" + ",".join(map(str, column)) + "}"


def _same(value: Any, letter: str) -> str:
    """Return a column that has this value in every row."""
    if letter in "tT":
        return _SAME + (value or "")
    return "" if value is None else str(value)


def _texts(column: Sequence[str]) -> str:
    joined = SEPARATOR.join(column)
    # Nothing at all would be no element instead of one that is empty.
    if not joined or joined[0] in _MARKS or joined.count(SEPARATOR) != len(column) - 1:
        return text_array(column)
    return joined


def _texts_or_null(column: Sequence[str | None]) -> str:
    joined = SEPARATOR.join([one or "" for one in column])
    if not joined or joined[0] in _MARKS or joined.count(SEPARATOR) != len(column) - 1:
        return "{" + ",".join("NULL" if one is None else _quoted(one) for one in column) + "}"
    return joined


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


def _merchant(changed: Changed[Merchant]) -> dict[str, Any]:
    row = changed.row
    return {
        "id": row.id,
        "expected": changed.expected,
        "tenant_id": row.tenant_id,
        "reference": row.reference,
        "display_name": row.display_name,
        "state": row.state,
        "settlement_terms": rows.encode_terms(row.settlement_terms),
        "version": row.version,
        "created_us": row.created_at,
        "updated_us": row.updated_at,
    }
