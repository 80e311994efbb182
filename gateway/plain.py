"""Payment commands of the usual form, recognized in few comparisons.

A check that says yes speaks for the whole table of rules of its message (validation.py); one that
says no says nothing, and the table is asked, which names every violation.
"""

from collections.abc import Callable
from typing import Any, Final

from gateway import checks
from gateway.errors import Violation
from kit import card_numbers, currencies
from tender.v1 import lane_pb2, payment_pb2

_is_wallet_id: Final = checks.fullmatch_wallet_id
_is_merchant_id: Final = checks.fullmatch_merchant_id
_is_payment_id: Final = checks.fullmatch_payment_id
_CURRENCIES: Final = frozenset(currencies.EXPONENTS)
_CAPTURE_METHODS: Final = frozenset(payment_pb2.CaptureMethod.values())
_AMOUNTS: Final = range(1, checks.AMOUNT_MAX + 1)
_looks_like_card: Final = card_numbers.looks_like_one
# Every card number is 13 characters or more of these; a text without that need not be searched.
_AS_IN_A_CARD: Final = bytes(ord("0") if chr(n) in "0123456789 -" else ord("x") for n in range(256))
_CARD_LIKE: Final = b"0" * 13


def _is_request_id(value: str) -> bool:
    return (
        0 < len(value) <= checks.REQUEST_ID_BYTES_MAX
        and value.isascii()
        and value.isprintable()
        and not (_CARD_LIKE in value.encode().translate(_AS_IN_A_CARD) and _looks_like_card(value))
    )


def _is_money(value: Any) -> bool:
    return value.minor_units in _AMOUNTS and value.currency_code in _CURRENCIES


def _is_description(value: str) -> bool:
    found: list[Violation] = []
    checks.description(value, "", found)
    return not found


def _authorize(request: Any) -> bool:
    description = request.description
    return (
        _is_request_id(request.request_id)
        and _is_wallet_id(request.payer_account_id) is not None
        and _is_merchant_id(request.merchant_id) is not None
        and _is_money(request.amount)
        and request.capture_method in _CAPTURE_METHODS
        and not request.hold_duration_seconds
        and not request.metadata
        and (not description or _is_description(description))
    )


def _capture(request: Any) -> bool:
    return (
        _is_request_id(request.request_id)
        and _is_payment_id(request.payment_id) is not None
        and (not request.HasField("amount") or _is_money(request.amount))
    )


def _void(request: Any) -> bool:
    return _is_request_id(request.request_id) and _is_payment_id(request.payment_id) is not None


def _refund(request: Any) -> bool:
    return _capture(request) and not request.description


def _reverse(request: Any) -> bool:
    return (
        _is_request_id(request.request_id)
        and _is_request_id(request.original_request_id)
        and _is_wallet_id(request.payer_account_id) is not None
        and _is_merchant_id(request.merchant_id) is not None
    )


CHECKS: Final[dict[int, Callable[[Any], bool]]] = {
    lane_pb2.METHOD_AUTHORIZE_PAYMENT: _authorize,
    lane_pb2.METHOD_CAPTURE_PAYMENT: _capture,
    lane_pb2.METHOD_VOID_PAYMENT: _void,
    lane_pb2.METHOD_REFUND_PAYMENT: _refund,
    lane_pb2.METHOD_REVERSE_PAYMENT: _reverse,
}
