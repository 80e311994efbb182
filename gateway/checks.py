"""What single fields must look like. A check returns None, or what is wrong, never the value."""

import re
from collections.abc import Callable, Collection
from typing import Any, Final

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from gateway.errors import Violation
from kit import card_numbers, currencies, read_tokens

# Appends to the list what is wrong with the value at the path.
Check = Callable[[Any, str, list[Violation]], None]

AMOUNT_MAX: Final = 10**15
REQUEST_ID_BYTES_MAX: Final = 255
TEXT_LENGTH_MAX: Final = 255
REFERENCE_LENGTH_MAX: Final = 128
METADATA_PAIRS_MAX: Final = 50
METADATA_KEY_LENGTH_MAX: Final = 40
METADATA_VALUE_LENGTH_MAX: Final = 500
HOLD_SECONDS_MIN: Final = 60
HOLD_SECONDS_MAX: Final = 31 * 24 * 3_600
PAGE_SIZE_MAX: Final = 200
PAGE_TOKEN_LENGTH_MAX: Final = 8_192  # A merged list has a place in the list of every shard: 150.
TERMS_MAX: Final = 50
BASIS_POINTS_MAX: Final = 10_000
FIXED_FEE_MAX: Final = 10**9

_ID_BODY: Final = r"_[a-z0-9]{2,8}_[0-9a-hjkmnp-tv-z]{22}"
_SYSTEM_ID: Final = (
    r"sys_[a-z0-9]{2,8}_[a-z0-9-]{1,16}_[a-z][a-z0-9-]{0,31}_"
    r"(world|fees|suspense|clearing\.[a-z0-9-]{1,16})_[A-Z]{3}"
)
# Control characters, line separators, and what turns the direction of text around it.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_PAGE_TOKEN: Final = re.compile(rf"[A-Za-z0-9_.=:~+/-]{{0,{PAGE_TOKEN_LENGTH_MAX}}}")
_REQUIRED: Final = "Must be set."
# Text is stored, logged and published in plain; a card number must not get that far.
_NO_CARD_NUMBER: Final = "Must not hold what looks like a card number."

Fullmatch = Callable[[str], re.Match[str] | None]


def _fullmatch(pattern: str) -> Fullmatch:
    return re.compile(pattern, re.ASCII).fullmatch


fullmatch_wallet_id: Final = _fullmatch("acc" + _ID_BODY)
fullmatch_payment_id: Final = _fullmatch("pay" + _ID_BODY)
fullmatch_merchant_id: Final = _fullmatch("mer" + _ID_BODY)


def _id_check(fullmatch: Fullmatch, description: str) -> Check:
    def check(value: str, path: str, found: list[Violation]) -> None:
        if not fullmatch(value):
            found.append(Violation(path, description))

    return check


wallet_id = _id_check(fullmatch_wallet_id, "Must be the id of a wallet, acc_...")
account_id = _id_check(_fullmatch(f"acc{_ID_BODY}|{_SYSTEM_ID}"), "Must be the id of an account.")
transfer_side = _id_check(
    _fullmatch(f"acc{_ID_BODY}|{_SYSTEM_ID}|world|fees"),
    'Must be the id of an account, "world" or "fees".',
)
payment_id = _id_check(fullmatch_payment_id, "Must be the id of a payment, pay_...")
merchant_id = _id_check(fullmatch_merchant_id, "Must be the id of a merchant, mer_...")
region = _id_check(_fullmatch(r"[a-z0-9]{2,8}"), "Must be the name of a region.")


def unless_empty(check: Check) -> Check:
    def checked(value: Any, path: str, found: list[Violation]) -> None:
        if value:
            check(value, path, found)

    return checked


def request_id(value: str, path: str, found: list[Violation]) -> None:
    size = len(value) if value.isascii() else len(value.encode())
    if not 0 < size <= REQUEST_ID_BYTES_MAX or not value.isprintable():
        found.append(Violation(path, "Must be 1 to 255 bytes of printable text."))
    elif card_numbers.looks_like_one(value):
        found.append(Violation(path, _NO_CARD_NUMBER))


def text(length_max: int, *, length_min: int = 0) -> Check:
    description = f"Must be {length_min} to {length_max} characters without control characters."
    has_control = _CONTROL.search

    def check(value: str, path: str, found: list[Violation]) -> None:
        if not length_min <= len(value) <= length_max or has_control(value):
            found.append(Violation(path, description))
        elif card_numbers.looks_like_one(value):
            found.append(Violation(path, _NO_CARD_NUMBER))

    return check


description = text(TEXT_LENGTH_MAX)
reference = text(REFERENCE_LENGTH_MAX, length_min=1)
_pair_key = text(METADATA_KEY_LENGTH_MAX, length_min=1)
_pair_value = text(METADATA_VALUE_LENGTH_MAX)


def pairs(value: Any, path: str, found: list[Violation]) -> None:
    """Check metadata; the path never repeats a key, for keys are the caller's own text."""
    if not value:
        return
    if len(value) > METADATA_PAIRS_MAX:
        found.append(Violation(path, f"Must have at most {METADATA_PAIRS_MAX} pairs."))
        return
    problems: list[Violation] = []
    for key, text_value in value.items():
        _pair_key(key, path, problems)
        _pair_value(text_value, path, problems)
    if problems:
        found.append(
            Violation(
                path,
                f"Keys must be 1 to {METADATA_KEY_LENGTH_MAX} characters and values at most "
                f"{METADATA_VALUE_LENGTH_MAX}, without control characters or card numbers.",
            )
        )


def currency(value: str, path: str, found: list[Violation]) -> None:
    if value not in currencies.EXPONENTS:
        found.append(
            Violation(path, "Must be an active ISO 4217 code in upper case.", "CURRENCY_UNKNOWN")
        )


def money(value: Any, path: str, found: list[Violation]) -> None:
    if not 1 <= value.minor_units <= AMOUNT_MAX:
        found.append(
            Violation(f"{path}.minor_units", f"Must be 1 to {AMOUNT_MAX}.", "AMOUNT_OUT_OF_RANGE")
        )
    currency(value.currency_code, f"{path}.currency_code", found)


def integer(low: int, high: int, *, reason: str = "FIELD_INVALID") -> Check:
    description = f"Must be {low} to {high}."

    def check(value: int, path: str, found: list[Violation]) -> None:
        if not low <= value <= high:
            found.append(Violation(path, description, reason))

    return check


floor = integer(-AMOUNT_MAX, 0, reason="AMOUNT_OUT_OF_RANGE")
page_size = integer(0, PAGE_SIZE_MAX)


def hold_duration(value: int, path: str, found: list[Violation]) -> None:
    if value != 0 and not HOLD_SECONDS_MIN <= value <= HOLD_SECONDS_MAX:
        found.append(Violation(path, f"Must be 0 or {HOLD_SECONDS_MIN} to {HOLD_SECONDS_MAX}."))


def page_token(value: str, path: str, found: list[Violation]) -> None:
    if value and not _PAGE_TOKEN.fullmatch(value):
        found.append(
            Violation(path, "Must be the next_page_token of a page.", "PAGE_TOKEN_INVALID")
        )


def read_token(value: str, path: str, found: list[Violation]) -> None:
    """Refuse what no answer gave."""
    try:
        read_tokens.parse(value)
    except ValueError:
        found.append(Violation(path, "Must be a read_token of an answer."))


def one_of(enum: EnumTypeWrapper, allowed: Collection[int] | None = None) -> Check:
    """Check an enum against its known values, or the ones given; others may come off the wire."""
    numbers = frozenset(enum.values() if allowed is None else allowed)
    names = ", ".join(enum.Name(number) for number in sorted(numbers))

    def check(value: int, path: str, found: list[Violation]) -> None:
        if value not in numbers:
            found.append(Violation(path, f"Must be one of {names}."))

    return check


def required(path: str, found: list[Violation]) -> None:
    found.append(Violation(path, _REQUIRED))
