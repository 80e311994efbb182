"""The wire forms of payments, transfers and accounts, written by hand: every payment pays for its
answer and its events, and this is a third of what building and serializing messages costs. Tests
compare them with the generated code.

Fields stand in the order of their numbers and defaults are left out, as protobuf writes them.
"""

import functools
from typing import Final

from processor.domain.accounts import Account
from processor.domain.payments import Payment
from processor.domain.transfers import Transfer

_SMALL: Final = 1 << 14
"""Numbers whose varints are made once: lengths, small amounts, versions; two bytes at most."""

_MEMORY_MAX: Final = 4_096
"""Remembered schedules, times and currencies; far more than one lane sees at a time."""


def _bytewise(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_VARINTS: Final = tuple(_bytewise(number) for number in range(_SMALL))
# The lower fourteen bits of a longer one: two bytes that more follow.
_LOWER: Final = tuple(bytes((low & 127 | 128, low >> 7 | 128)) for low in range(_SMALL))


def varint(number: int) -> bytes:
    """Return a number from 0 to 2^64 - 1 as a varint."""
    if number < _SMALL:
        return _VARINTS[number]
    return _LOWER[number & (_SMALL - 1)] + varint(number >> 14)


def _head(number: int) -> bytes:
    return varint(number << 3 | 2)


# By field number: tag and length of a text below 128 bytes, in one piece.
_HEADS: Final = tuple(
    tuple(_head(number) + varint(length) for length in range(128)) for number in range(32)
)


def field(number: int, body: bytes) -> bytes:
    """Return a length-delimited field: text, bytes or a message."""
    length = len(body)
    if length < 128:
        return _HEADS[number][length] + body
    return _head(number) + varint(length) + body


def text(number: int, value: str) -> bytes:
    """Return a text field; nothing for an empty one."""
    return field(number, value.encode()) if value else b""


def integer(number: int, value: int) -> bytes:
    """Return a non-negative integer or enum field; nothing for 0."""
    return varint(number << 3) + varint(value) if value else b""


@functools.lru_cache(maxsize=_MEMORY_MAX)
def _money_head(currency: str) -> bytes:
    return text(1, currency) + varint(2 << 3)


@functools.lru_cache(maxsize=_MEMORY_MAX)
def _zero_money(number: int, currency: str) -> bytes:
    return field(number, text(1, currency))


def money(number: int, currency: str, minor_units: int) -> bytes:
    """Return a Money field of a non-negative amount."""
    if not minor_units:
        return _zero_money(number, currency)
    return field(number, _money_head(currency) + varint(minor_units))


_MASK: Final = (1 << 64) - 1


def signed(number: int, value: int) -> bytes:
    """Return an int64 field, which may be negative; nothing for 0."""
    return varint(number << 3) + varint(value & _MASK) if value else b""


def signed_money(number: int, currency: str, minor_units: int) -> bytes:
    """Return a Money field of an amount that may be negative."""
    if minor_units >= 0:
        return money(number, currency, minor_units)
    return field(number, _money_head(currency) + varint(minor_units & _MASK))


@functools.lru_cache(maxsize=_MEMORY_MAX)
def timestamp(number: int, time_us: int) -> bytes:
    """Return a Timestamp field for µs since 1970; a batch has but one time."""
    return _any_time(number, time_us)


def _any_time(number: int, time_us: int) -> bytes:
    """Return the same for a time that is hardly ever met again, and so not worth a place."""
    seconds, micros = divmod(time_us, 1_000_000)
    return field(number, integer(1, seconds) + integer(2, micros * 1_000))


@functools.lru_cache(maxsize=_MEMORY_MAX)
def _new_times(time_us: int) -> bytes:
    """Return both times of what has not changed since it was made."""
    return timestamp(17, time_us) + timestamp(18, time_us)


@functools.lru_cache(maxsize=_MEMORY_MAX)
def _nothing_open(currency: str) -> bytes:
    """Return what of a payment may still be captured, was refunded and will be: nothing."""
    return money(10, currency, 0) + money(11, currency, 0) + money(12, currency, 0)


@functools.lru_cache(maxsize=_MEMORY_MAX)
def _fee_schedule(basis_points: int, fixed: int, refund_policy: int) -> bytes:
    body = integer(1, basis_points) + integer(2, fixed) + integer(3, refund_policy)
    return field(15, body)


@functools.lru_cache(maxsize=_MEMORY_MAX)
def _kind(state: int, capture_method: int, decline_reason: int) -> bytes:
    return integer(5, state) + integer(6, capture_method) + integer(7, decline_reason)


def payment(
    row: Payment,
    *,
    state: int,
    capture_method: int,
    decline_reason: int,
    refund_policy: int,
    metadata: dict[str, str],
) -> bytes:
    """Return a tender.v1.Payment; the enums come as the contract's numbers."""
    currency = row.currency
    # What most payments have in common is looked up in one piece.
    if row.capturable or row.refunded or row.refund_pending:
        still_open = (
            money(10, currency, row.capturable)
            + money(11, currency, row.refunded)
            + money(12, currency, row.refund_pending)
        )
    else:
        still_open = _nothing_open(currency)
    created_at, updated_at = row.created_at, row.updated_at
    if created_at == updated_at:
        times = _new_times(created_at)
    else:
        times = timestamp(17, created_at) + timestamp(18, updated_at)
    parts = [
        text(1, row.id),
        text(2, row.merchant_id),
        text(3, row.payer_account_id),
        text(4, row.settlement_account_id),
        _kind(state, capture_method, decline_reason),
        money(8, currency, row.amount),
        money(9, currency, row.captured),
        still_open,
        money(13, currency, row.fee),
        money(14, currency, row.fee_refunded),
        _fee_schedule(row.fee_basis_points, row.fee_fixed, refund_policy),
        b"" if row.hold_expires_at is None else timestamp(16, row.hold_expires_at),
        times,
        integer(19, row.version),
        text(20, row.description),
    ]
    for key, value in metadata.items():
        parts.append(field(21, field(1, key.encode()) + field(2, value.encode())))
    return b"".join(parts)


@functools.lru_cache(maxsize=_MEMORY_MAX)
def _numbers(first: int, first_value: int, second: int, second_value: int) -> bytes:
    return integer(first, first_value) + integer(second, second_value)


def transfer(row: Transfer, *, reason: int, state: int, remote_account_id: str) -> bytes:
    """Return a tender.v1.Transfer that was posted; the enums come as the contract's numbers."""
    return b"".join(
        (
            text(1, row.id),
            text(2, row.debit_account_id),
            text(3, row.credit_account_id),
            money(4, row.currency, row.amount),
            _numbers(5, reason, 6, state),
            text(8, row.payment_id or ""),
            timestamp(9, row.created_at),
            text(10, row.description),
            text(11, remote_account_id),
        )
    )


def account(row: Account, *, kind: int, state: int) -> bytes:
    """Return a tender.v1.Account; the enums come as the contract's numbers."""
    currency = row.currency
    return b"".join(
        (
            text(1, row.id),
            text(2, row.user_id),
            integer(3, kind),
            text(4, currency),
            integer(5, state),
            signed_money(6, currency, row.posted),
            money(7, currency, row.held),
            signed_money(8, currency, row.posted - row.held),
            b"" if row.floor is None else signed_money(9, currency, row.floor),
            _any_time(10, row.created_at),
            timestamp(11, row.updated_at),
            integer(12, row.version),
        )
    )
