"""What a valid request is: one table of rules per message. Every violation is collected."""

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import Message

from gateway import checks, methods, plain
from gateway.errors import Refused, Violation
from tender.v1 import account_pb2, lane_pb2, merchant_pb2, payment_pb2

# Looks at a request and appends what is wrong with it.
Rule = Callable[[Any, list[Violation]], None]
Rules = tuple[Rule, ...]

_PRECEDENCE: Final = (
    *("AMOUNT_OUT_OF_RANGE", "CURRENCY_UNKNOWN", "ACCOUNTS_EQUAL", "PAGE_TOKEN_INVALID"),
    "FIELD_INVALID",
)
_SECONDS_MIN: Final = -62_135_596_800  # 0001-01-01, the first second a Timestamp may name.
_SECONDS_MAX: Final = 253_402_300_799  # 9999-12-31, the last.
_NANOS_MAX: Final = 999_999_999

_Account = account_pb2.Account
_Merchant = merchant_pb2.Merchant
_Terms = merchant_pb2.SettlementTerms
_basis_points = checks.integer(0, checks.BASIS_POINTS_MAX)
_fixed_fee = checks.integer(0, checks.FIXED_FEE_MAX, reason="AMOUNT_OUT_OF_RANGE")
_refund_policy = checks.one_of(merchant_pb2.FeeRefundPolicy)
_merchant_state = checks.one_of(
    _Merchant.State, (_Merchant.STATE_ACTIVE, _Merchant.STATE_SUSPENDED)
)


def validate(number: int, request: Message) -> None:
    """Raise Refused with every violation and the most specific of their reasons.

    `number` is that of the method in lane.proto.
    """
    is_plainly_valid = plain.CHECKS.get(number)
    if is_plainly_valid is not None and is_plainly_valid(request):
        return
    found: list[Violation] = []
    for rule in RULES[number]:
        rule(request, found)
    if found:
        reason = min((violation.reason for violation in found), key=_PRECEDENCE.index)
        raise Refused(reason, violations=found)


def _field(name: str, check: checks.Check) -> Rule:
    def rule(request: Any, found: list[Violation]) -> None:
        check(getattr(request, name), name, found)

    return rule


def _required_message(name: str, check: checks.Check) -> Rule:
    def rule(request: Any, found: list[Violation]) -> None:
        if request.HasField(name):
            check(getattr(request, name), name, found)
        else:
            checks.required(name, found)

    return rule


def _optional_message(name: str, check: checks.Check) -> Rule:
    def rule(request: Any, found: list[Violation]) -> None:
        if request.HasField(name):
            check(getattr(request, name), name, found)

    return rule


def _sides_differ(request: Any, found: list[Violation]) -> None:
    if request.source_account_id and request.source_account_id == request.destination_account_id:
        found.append(
            Violation("destination_account_id", "Must be another account.", "ACCOUNTS_EQUAL")
        )


def _id_or_merchant_and_request(request: Any, found: list[Violation]) -> None:
    """A payment is named in one of two ways, never both."""
    if not request.payment_id:
        checks.merchant_id(request.merchant_id, "merchant_id", found)
        checks.request_id(request.request_id, "request_id", found)
        return
    checks.payment_id(request.payment_id, "payment_id", found)
    for name in ("merchant_id", "request_id"):
        if getattr(request, name):
            found.append(Violation(name, "Must be empty when payment_id is set."))


def _time(value: Any, path: str, found: list[Violation]) -> None:
    if not _SECONDS_MIN <= value.seconds <= _SECONDS_MAX or not 0 <= value.nanos <= _NANOS_MAX:
        found.append(Violation(path, "Must be between the years 1 and 9999."))


def _settlement_terms(terms: Any, path: str, found: list[Violation]) -> None:
    if len(terms) > checks.TERMS_MAX:
        found.append(Violation(path, f"Must have at most {checks.TERMS_MAX} entries."))
        return
    seen: set[str] = set()
    for index, term in enumerate(terms):
        at = f"{path}[{index}]"
        checks.currency(term.currency_code, f"{at}.currency_code", found)
        if term.currency_code in seen:
            found.append(Violation(f"{at}.currency_code", "Must not repeat an earlier entry's."))
        seen.add(term.currency_code)
        checks.wallet_id(term.account_id, f"{at}.account_id", found)
        fee = term.fee_schedule
        _basis_points(fee.basis_points, f"{at}.fee_schedule.basis_points", found)
        _fixed_fee(fee.fixed_minor_units, f"{at}.fee_schedule.fixed_minor_units", found)
        _refund_policy(fee.refund_policy, f"{at}.fee_schedule.refund_policy", found)


_UPDATABLE: Final[dict[str, checks.Check]] = {
    "display_name": checks.description,
    "state": _merchant_state,
    "settlement_terms": _settlement_terms,
}


def _masked_merchant(request: Any, found: list[Violation]) -> None:
    """Check what the mask names; the rest of the merchant is not looked at, nor changed."""
    checks.merchant_id(request.merchant.id, "merchant.id", found)
    paths = request.update_mask.paths
    if not paths:
        checks.required("update_mask", found)
    if any(path not in _UPDATABLE for path in paths):
        found.append(Violation("update_mask", f"May name only {', '.join(_UPDATABLE)}."))
    for path in sorted(set(paths) & set(_UPDATABLE)):
        _UPDATABLE[path](getattr(request.merchant, path), f"merchant.{path}", found)


_REQUEST_ID: Final = _field("request_id", checks.request_id)
_ACCOUNT_CHANGE: Final[Rules] = (_REQUEST_ID, _field("account_id", checks.account_id))
_PAGE: Final[Rules] = (
    _field("page_size", checks.page_size),
    _field("page_token", checks.page_token),
)

_READ_TOKEN: Final = _field("read_token", checks.read_token)
RULES: Final[dict[int, Rules]] = {
    lane_pb2.METHOD_AUTHORIZE_PAYMENT: (
        _REQUEST_ID,
        _field("payer_account_id", checks.wallet_id),
        _field("merchant_id", checks.merchant_id),
        _required_message("amount", checks.money),
        _field("capture_method", checks.one_of(payment_pb2.CaptureMethod)),
        _field("hold_duration_seconds", checks.hold_duration),
        _field("description", checks.description),
        _field("metadata", checks.pairs),
    ),
    lane_pb2.METHOD_CAPTURE_PAYMENT: (
        _REQUEST_ID,
        _field("payment_id", checks.payment_id),
        _optional_message("amount", checks.money),
    ),
    lane_pb2.METHOD_VOID_PAYMENT: (_REQUEST_ID, _field("payment_id", checks.payment_id)),
    lane_pb2.METHOD_REFUND_PAYMENT: (
        _REQUEST_ID,
        _field("payment_id", checks.payment_id),
        _optional_message("amount", checks.money),
        _field("description", checks.description),
    ),
    lane_pb2.METHOD_REVERSE_PAYMENT: (
        _REQUEST_ID,
        _field("original_request_id", checks.request_id),
        _field("payer_account_id", checks.wallet_id),
        _field("merchant_id", checks.merchant_id),
    ),
    lane_pb2.METHOD_GET_PAYMENT: (_id_or_merchant_and_request, _READ_TOKEN),
    lane_pb2.METHOD_LIST_PAYMENTS: (
        _field("merchant_id", checks.unless_empty(checks.merchant_id)),
        _field("payer_account_id", checks.unless_empty(checks.wallet_id)),
        *_PAGE,
        _READ_TOKEN,
    ),
    lane_pb2.METHOD_CREATE_ACCOUNT: (
        _REQUEST_ID,
        _field("user_id", checks.reference),
        _field(
            "kind",
            checks.one_of(
                _Account.Kind,
                (
                    _Account.KIND_UNSPECIFIED,
                    _Account.KIND_CONSUMER_WALLET,
                    _Account.KIND_MERCHANT_WALLET,
                ),
            ),
        ),
        _field("currency_code", checks.currency),
        _field("floor_minor_units", checks.floor),
        _field("region", checks.unless_empty(checks.region)),
    ),
    lane_pb2.METHOD_GET_ACCOUNT: (_field("account_id", checks.account_id), _READ_TOKEN),
    lane_pb2.METHOD_LIST_ACCOUNTS: (
        _field("user_id", checks.unless_empty(checks.reference)),
        *_PAGE,
        _READ_TOKEN,
    ),
    lane_pb2.METHOD_FREEZE_ACCOUNT: _ACCOUNT_CHANGE,
    lane_pb2.METHOD_UNFREEZE_ACCOUNT: _ACCOUNT_CHANGE,
    lane_pb2.METHOD_CLOSE_ACCOUNT: _ACCOUNT_CHANGE,
    lane_pb2.METHOD_CREATE_TRANSFER: (
        _REQUEST_ID,
        _field("source_account_id", checks.transfer_side),
        _field("destination_account_id", checks.transfer_side),
        _sides_differ,
        _required_message("amount", checks.money),
        _field("description", checks.description),
    ),
    lane_pb2.METHOD_LIST_TRANSFERS: (
        _field("account_id", checks.account_id),
        *_PAGE,
        _READ_TOKEN,
    ),
    lane_pb2.METHOD_GET_BALANCE_AT: (
        _field("account_id", checks.account_id),
        _required_message("time", _time),
        _READ_TOKEN,
    ),
    lane_pb2.METHOD_CREATE_MERCHANT: (
        _REQUEST_ID,
        _field("reference", checks.reference),
        _field("display_name", checks.description),
        _field("settlement_terms", _settlement_terms),
        _field("region", checks.unless_empty(checks.region)),
    ),
    lane_pb2.METHOD_GET_MERCHANT: (_field("merchant_id", checks.merchant_id), _READ_TOKEN),
    lane_pb2.METHOD_UPDATE_MERCHANT: (_REQUEST_ID, _masked_merchant),
    lane_pb2.METHOD_GET_REQUEST: (_REQUEST_ID, _READ_TOKEN),
}
assert set(RULES) == set(methods.BY_NUMBER)
