"""How rows of the ledger become values of the domain: the columns in their order, and the mapping.

Each list names the columns of its NamedTuple in the same order, so that a row maps by position.
Times leave the database as whole microseconds since 1970; a timestamptz keeps nothing finer.
"""

import functools
from collections.abc import Callable
from typing import Final

import asyncpg
import msgspec

from processor.domain.accounts import Account
from processor.domain.fees import FeeSchedule
from processor.domain.merchants import Merchant, Terms
from processor.domain.ownership import BucketRange, Buckets
from processor.domain.payments import Payment, Refund
from processor.domain.transfers import Transfer
from processor.domain.view import Key


def micros(column: str) -> str:
    """Return the SQL for a time column in µs since 1970; exact, as extract() gives a numeric."""
    return f"(extract(epoch FROM {column}) * 1000000)::bigint AS {column}"


ACCOUNT_COLUMNS: Final = f"""
    id, tenant_id, user_id, kind, currency, state, posted, held, floor, version,
    {micros("created_at")}, {micros("updated_at")}, last_transfer_id, last_payment_id
"""

PAYMENT_COLUMNS: Final = f"""
    id, tenant_id, merchant_id, payer_account_id, settlement_account_id, state, capture_method,
    decline_reason, currency, amount, captured, capturable, refunded, refund_pending, fee,
    fee_refunded, fee_basis_points, fee_fixed, fee_refund_policy, {micros("hold_expires_at")},
    description, metadata, version, {micros("created_at")}, {micros("updated_at")},
    payer_previous_id
"""

MERCHANT_COLUMNS: Final = f"""
    id, tenant_id, reference, display_name, state, settlement_terms, version,
    {micros("created_at")}, {micros("updated_at")}
"""

KEY_COLUMNS: Final = "tenant_id, request_id, method, fingerprint, outcome, resource_id"

REFUND_COLUMNS: Final = f"""
    id, payment_id, state, amount, currency, fee_refunded, description, {micros("created_at")},
    failure_reason
"""

TRANSFER_COLUMNS: Final = f"""
    id, debit_account_id, credit_account_id, amount, currency, reason, payment_id, refund_id,
    description, debit_posted_after, credit_posted_after, {micros("created_at")},
    debit_previous_id, credit_previous_id
"""

_decode_terms: Final[Callable[[str], list[tuple[str, str, int, int, str]]]] = msgspec.json.Decoder(
    list[tuple[str, str, int, int, str]]
).decode
_decode_ranges: Final = msgspec.json.Decoder(tuple[BucketRange, ...]).decode
_encode: Final = msgspec.json.Encoder().encode


def account(row: asyncpg.Record) -> Account:
    """Return the account of a row of ACCOUNT_COLUMNS."""
    return Account(*row)


def payment(row: asyncpg.Record) -> Payment:
    """Return the payment of a row of PAYMENT_COLUMNS."""
    return Payment(*row)


def merchant(row: asyncpg.Record) -> Merchant:
    """Return the merchant of a row of MERCHANT_COLUMNS."""
    return Merchant(*row)._replace(settlement_terms=decode_terms(row["settlement_terms"]))


def key(row: asyncpg.Record) -> Key:
    """Return the request key of a row of KEY_COLUMNS."""
    return Key(*row)


def refund(row: asyncpg.Record) -> Refund:
    """Return the refund of a row of REFUND_COLUMNS."""
    return Refund(*row)


def transfer(row: asyncpg.Record) -> Transfer:
    """Return the transfer of a row of TRANSFER_COLUMNS."""
    return Transfer(*row)


def decode_terms(text: str) -> tuple[Terms, ...]:
    """Return the settlement terms that merchants.settlement_terms holds."""
    return tuple(
        Terms(currency, account_id, FeeSchedule(basis_points, fixed, refund_policy))
        for currency, account_id, basis_points, fixed, refund_policy in _decode_terms(text)
    )


def encode_terms(terms: tuple[Terms, ...]) -> str:
    """Return what merchants.settlement_terms holds for these terms."""
    return _encode(
        [
            (
                one.currency,
                one.account_id,
                one.fee_schedule.basis_points,
                one.fee_schedule.fixed,
                one.fee_schedule.refund_policy,
            )
            for one in terms
        ]
    ).decode()


def buckets(row: asyncpg.Record) -> Buckets:
    """Return which buckets the shard has."""
    return Buckets(row["region"], row["version"], _decode_ranges(row["ranges"]))


@functools.lru_cache(maxsize=64)
def buckets_of(region: str, version: int, ranges: str) -> Buckets:
    """Return which buckets the shard has; the same text comes with every read."""
    return Buckets(region, version, _decode_ranges(ranges))


def encode_buckets(owned: Buckets) -> str:
    """Return the text of the ranges."""
    return _encode(owned.ranges).decode()
