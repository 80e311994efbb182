"""The wire forms of payments, transfers and accounts, written by hand: every payment pays for its
answer and its events, and this is a third of what building and serializing messages costs. Tests
compare them with the generated code.

What is put together here are *octets*: text of which each character stands for one byte, so that
most pieces of a message are the texts of a row as they are, and it is encoded once (`encoded`).
Fields stand in the order of their numbers and defaults are left out, as protobuf writes them.
"""

import functools
from typing import Final

from processor.domain.accounts import Account
from processor.domain.payments import Payment
from processor.domain.transfers import Transfer

_SMALL: Final = 1 << 11
"""Numbers whose varints are made once, as few as fit a cache: lengths, versions, fees."""

_MEMORY_MAX: Final = 4_096
"""Remembered schedules, times and currencies; far more than one lane sees at a time."""


# Octets by their number: Python has one text of each.
_BYTES: Final = tuple(chr(number) for number in range(256))
_VARINTS: Final = tuple(
    chr(number) if number < 128 else chr(number & 127 | 128) + chr(number >> 7)
    for number in range(_SMALL)
)


def encoded(octets: str) -> bytes:
    """Return the bytes that octets stand for."""
    return octets.encode("latin-1")


def _octets(value: str) -> str:
    """Return a text's UTF-8 as octets."""
    return value if value.isascii() else value.encode().decode("latin-1")


def varint(number: int) -> str:
    """Return a number from 0 to 2^64 - 1 as a varint."""
    if number < _SMALL:
        return _VARINTS[number]
    low = _BYTES[number & 127 | 128]
    if number < 1 << 14:
        return low + _BYTES[number >> 7]
    middle = _BYTES[number >> 7 & 127 | 128]
    if number < 1 << 21:
        return f"{low}{middle}{_BYTES[number >> 14]}"
    high = _BYTES[number >> 14 & 127 | 128]
    if number < 1 << 28:
        return f"{low}{middle}{high}{_BYTES[number >> 21]}"
    return f"{low}{middle}{high}{_BYTES[number >> 21 & 127 | 128]}{varint(number >> 28)}"


# By field number: the tag of a number.
_TAGS: Final = tuple(varint(number << 3) for number in range(32))
# By field number: tag and length of a text below 128 bytes, in one piece.
_HEADS: Final = tuple(
    tuple(varint(number << 3 | 2) + varint(length) for length in range(128)) for number in range(32)
)


def head(number: int, length: int) -> str:
    """Return what precedes the body of a length-delimited field: text, bytes or a message."""
    if length < 128:
        return _HEADS[number][length]
    return f"{varint(number << 3 | 2)}{varint(length)}"


def field(number: int, body: str) -> str:
    """Return a length-delimited field, its body being octets."""
    return head(number, len(body)) + body


def text(number: int, value: str) -> str:
    """Return a text field; nothing for an empty one."""
    if not value:
        return ""
    octets = _octets(value)
    return head(number, len(octets)) + octets


def integer(number: int, value: int) -> str:
    """Return a non-negative integer or enum field; nothing for 0."""
    return _TAGS[number] + varint(value) if value else ""


_MASK: Final = (1 << 64) - 1


def signed(number: int, value: int) -> str:
    """Return an int64 field, which may be negative; nothing for 0."""
    # Python is slow at whole words, and few are negative.
    return integer(number, value if value >= 0 else value & _MASK)


class _Currency:
    """What fields of Money in one currency have in common."""

    __slots__ = ("length", "nothing_open", "start", "zeros")

    def __init__(self, code: str) -> None:
        name = text(1, code)
        self.start = name + _TAGS[2]
        self.length = len(self.start)
        # By field number.
        self.zeros = tuple(field(number, name) for number in range(32))
        # What of a payment may still be captured, was refunded and will be.
        self.nothing_open = self.zeros[10] + self.zeros[11] + self.zeros[12]


_currencies: Final[dict[str, _Currency]] = {}


def _currency(code: str) -> _Currency:
    found = _currencies.get(code)
    if found is None:
        if len(_currencies) == _MEMORY_MAX:
            _currencies.clear()
        found = _currencies[code] = _Currency(code)
    return found


def _money(number: int, currency: _Currency, minor_units: int) -> str:
    """Return a Money field of a non-negative amount."""
    if not minor_units:
        return currency.zeros[number]
    amount = varint(minor_units)
    return f"{head(number, currency.length + len(amount))}{currency.start}{amount}"


def _signed_money(number: int, currency: _Currency, minor_units: int) -> str:
    """Return a Money field of an amount that may be negative."""
    return _money(number, currency, minor_units if minor_units >= 0 else minor_units & _MASK)


@functools.lru_cache(maxsize=_MEMORY_MAX)
def timestamp(number: int, time_us: int) -> str:
    """Return a Timestamp field for µs since 1970; a batch has but one time."""
    return _any_time(number, time_us)


def _any_time(number: int, time_us: int) -> str:
    """Return the same for a time that is hardly ever met again, and so not worth a place."""
    seconds = time_us // 1_000_000
    body = integer(1, seconds) + integer(2, (time_us - seconds * 1_000_000) * 1_000)
    return _HEADS[number][len(body)] + body


@functools.lru_cache(maxsize=_MEMORY_MAX)
def _new_times(time_us: int) -> str:
    """Return both times of what has not changed since it was made."""
    return timestamp(17, time_us) + timestamp(18, time_us)


@functools.lru_cache(maxsize=_MEMORY_MAX)
def _fee_schedule(basis_points: int, fixed: int, refund_policy: int) -> str:
    body = integer(1, basis_points) + integer(2, fixed) + integer(3, refund_policy)
    return field(15, body)


@functools.lru_cache(maxsize=_MEMORY_MAX)
def _kind(state: int, capture_method: int, decline_reason: int) -> str:
    return integer(5, state) + integer(6, capture_method) + integer(7, decline_reason)


def payment(
    row: Payment,
    *,
    state: int,
    capture_method: int,
    decline_reason: int,
    refund_policy: int,
    metadata: dict[str, str],
) -> str:
    """Return a tender.v1.Payment; the enums come as the contract's numbers."""
    currency = _currency(row.currency)
    # What most payments have in common is looked up in one piece.
    if row.capturable or row.refunded or row.refund_pending:
        still_open = (
            _money(10, currency, row.capturable)
            + _money(11, currency, row.refunded)
            + _money(12, currency, row.refund_pending)
        )
    else:
        still_open = currency.nothing_open
    created_at, updated_at = row.created_at, row.updated_at
    if created_at == updated_at:
        times = _new_times(created_at)
    else:
        times = timestamp(17, created_at) + timestamp(18, updated_at)
    hold_expires_at = row.hold_expires_at
    expiry = "" if hold_expires_at is None else timestamp(16, hold_expires_at)
    octets = (
        f"{text(1, row.id)}{text(2, row.merchant_id)}{text(3, row.payer_account_id)}"
        f"{text(4, row.settlement_account_id)}{_kind(state, capture_method, decline_reason)}"
        f"{_money(8, currency, row.amount)}{_money(9, currency, row.captured)}{still_open}"
        f"{_money(13, currency, row.fee)}{_money(14, currency, row.fee_refunded)}"
        f"{_fee_schedule(row.fee_basis_points, row.fee_fixed, refund_policy)}{expiry}{times}"
        f"{integer(19, row.version)}{text(20, row.description)}"
    )
    for key, value in metadata.items():
        # Of a pair in a map, generated code writes an empty text, too.
        pair = field(1, _octets(key)) + field(2, _octets(value))
        octets += field(21, pair)
    return octets


def transfer(row: Transfer, *, reason: int, state: int, remote_account_id: str) -> str:
    """Return a tender.v1.Transfer that was posted; the enums come as the contract's numbers."""
    return (
        f"{text(1, row.id)}{text(2, row.debit_account_id)}{text(3, row.credit_account_id)}"
        f"{_money(4, _currency(row.currency), row.amount)}"
        f"{integer(5, reason)}{integer(6, state)}"
        f"{text(8, row.payment_id or '')}{timestamp(9, row.created_at)}"
        f"{text(10, row.description)}{text(11, remote_account_id)}"
    )


def account(row: Account, *, kind: int, state: int) -> str:
    """Return a tender.v1.Account; the enums come as the contract's numbers."""
    currency = _currency(row.currency)
    posted, held, floor = row.posted, row.held, row.floor
    return (
        f"{text(1, row.id)}{text(2, row.user_id)}{integer(3, kind)}{text(4, row.currency)}"
        f"{integer(5, state)}{_signed_money(6, currency, posted)}{_money(7, currency, held)}"
        f"{_signed_money(8, currency, posted - held)}"
        f"{'' if floor is None else _signed_money(9, currency, floor)}"
        f"{_any_time(10, row.created_at)}{timestamp(11, row.updated_at)}"
        f"{integer(12, row.version)}"
    )
