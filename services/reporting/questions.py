"""What is asked, checked and put in order; pure. Raises Refused for what is no question."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from kit import page_tokens
from services.calls import Problem, Refused
from services.reporting import sql
from tender.v1 import lane_pb2, payment_pb2, reporting_pb2

DAYS_MAX: Final = 366
METADATA_MAX: Final = 5
METADATA_LENGTH_MAX: Final = 500
PAYMENTS_DEFAULT: Final = 50
PAYMENTS_MAX: Final = 200
LINES_DEFAULT: Final = 200
LINES_MAX: Final = 1_000
CHUNK_ROWS: Final = 1_000
"""Of an export; a chunk is some hundred KiB."""
TOKEN_LENGTH_MAX: Final = 512

FIRST_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_TIME: Final = datetime(9999, 1, 1, tzinfo=UTC)

_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_UNITS_MAX: Final = 10**15
_STATES: Final = {
    number: name.removeprefix("STATE_") for name, number in payment_pb2.Payment.State.items()
}


class DaysWanted(NamedTuple):
    """A merchant's days, the last one included."""

    tenant_id: str
    merchant_id: str
    first: date
    last: date
    currency: str


class PaymentsWanted(NamedTuple):
    """Payments that fit, created before `before`, newest first; empty is no filter."""

    tenant_id: str
    merchant_id: str
    from_time: datetime
    to_time: datetime
    states: tuple[str, ...]
    currency: str
    units_min: int
    units_max: int
    payer_account_id: str
    metadata: tuple[tuple[str, str], ...]

    @property
    def seal(self) -> Sequence[str]:
        """What a page token of this list is good for."""
        pairs = [text for pair in self.metadata for text in pair]
        return ["payments", *map(str, self[:4]), *self.states, *map(str, self[5:9]), *pairs]


class StatementWanted(NamedTuple):
    """An account's movements, oldest first; `merchant_id` of a merchant's own key."""

    tenant_id: str
    merchant_id: str
    account_id: str
    from_time: datetime
    to_time: datetime

    @property
    def seal(self) -> Sequence[str]:
        """What a page token of this list is good for."""
        return ["statement", *map(str, self)]


class After(NamedTuple):
    """The last movement of the page before."""

    told_at: datetime
    seq: int
    place: int


class Before(NamedTuple):
    """The last payment of the page before."""

    created_at: datetime
    id: str


BEGINNING: Final = After(FIRST_TIME - timedelta(days=1), 0, 0)
NEWEST: Final = Before(LAST_TIME, "")


class _Problems(list[Problem]):
    """What is wrong with a request."""

    def unless(self, is_right: object, field: str, description: str) -> None:
        if not is_right:
            self.append(Problem(field, description))

    def refuse(self) -> None:
        if self:
            raise Refused("FIELD_INVALID", problems=self)


def days(
    request: reporting_pb2.GetMerchantReportRequest, principal: lane_pb2.Principal
) -> DaysWanted:
    """Read the question for a merchant's days."""
    problems = _Problems()
    merchant_id = _merchant(request.merchant_id, principal, "merchant_id", problems)
    first = _date(request.from_date, "from_date", problems)
    last = _date(request.to_date, "to_date", problems)
    _check_currency(request.currency_code, "currency_code", problems)
    if first and last:
        problems.unless(
            timedelta(0) <= last - first < timedelta(days=DAYS_MAX),
            "to_date",
            f"Must not be before from_date, and less than {DAYS_MAX} days after it.",
        )
    problems.refuse()
    assert first is not None
    assert last is not None
    return DaysWanted(principal.tenant_id, merchant_id, first, last, request.currency_code)


def payments(asked: reporting_pb2.PaymentFilter, principal: lane_pb2.Principal) -> PaymentsWanted:
    """Read the question for payments."""
    problems = _Problems()
    merchant_id = _merchant(asked.merchant_id, principal, "filter.merchant_id", problems)
    from_time, to_time = _times(asked, "filter.", problems)
    problems.unless(
        all(state in _STATES and state for state in asked.states),
        "filter.states",
        "Has a state that there is not.",
    )
    _check_currency(asked.currency_code, "filter.currency_code", problems)
    low, high = asked.minor_units_min, asked.minor_units_max
    problems.unless(0 <= low <= _UNITS_MAX, "filter.minor_units_min", f"Must be 0 to {_UNITS_MAX}.")
    problems.unless(
        high == 0 or low <= high <= _UNITS_MAX,
        "filter.minor_units_max",
        f"Must be 0, or minor_units_min to {_UNITS_MAX}.",
    )
    problems.unless(
        asked.currency_code or not (low or high),
        "filter.currency_code",
        "Is needed with a range of amounts.",
    )
    payer = asked.payer_account_id
    problems.unless(
        not payer or _ID.fullmatch(payer),
        "filter.payer_account_id",
        "Must be the id of an account.",
    )
    problems.unless(
        len(asked.metadata) <= METADATA_MAX, "filter.metadata", f"At most {METADATA_MAX} pairs."
    )
    problems.unless(
        all(_is_text(key) and _is_text(value) for key, value in asked.metadata.items()),
        "filter.metadata",
        f"Keys and values have at most {METADATA_LENGTH_MAX} characters, and none of them is NUL.",
    )
    problems.refuse()
    return PaymentsWanted(
        principal.tenant_id,
        merchant_id,
        from_time,
        to_time,
        tuple(sorted({_STATES[state] for state in asked.states})),
        asked.currency_code,
        low,
        high,
        payer,
        tuple(sorted(asked.metadata.items())),
    )


def statement(
    asked: reporting_pb2.GetAccountStatementRequest | reporting_pb2.ExportStatementRequest,
    principal: lane_pb2.Principal,
) -> StatementWanted:
    """Read the question for an account's movements."""
    problems = _Problems()
    problems.unless(_ID.fullmatch(asked.account_id), "account_id", "Must be the id of an account.")
    from_time, to_time = _times(asked, "", problems)
    problems.refuse()
    return StatementWanted(
        principal.tenant_id, principal.merchant_id, asked.account_id, from_time, to_time
    )


def size(asked: int, default: int, most: int) -> int:
    """Return how many rows a page has."""
    if not 0 <= asked <= most:
        raise Refused("FIELD_INVALID", problems=[Problem("page_size", f"Must be 0 to {most}.")])
    return asked or default


def before(token: str, wanted: PaymentsWanted) -> Before:
    """Return where a page of payments begins."""
    if not token:
        return NEWEST
    created_at, found, identifier = _content(token, wanted.seal).partition(" ")
    if not found or not _ID.fullmatch(identifier):
        raise Refused("PAGE_TOKEN_INVALID")
    return Before(_instant(created_at), identifier)


def before_token(last: Before, wanted: PaymentsWanted) -> str:
    """Return the token of the page that follows a payment."""
    return page_tokens.write(f"{sql.micros(last.created_at)} {last.id}".encode(), wanted.seal)


def after(token: str, wanted: StatementWanted) -> After:
    """Return where a page of movements begins."""
    if not token:
        return BEGINNING
    parts = _content(token, wanted.seal).split(" ")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise Refused("PAGE_TOKEN_INVALID")
    seq, place = int(parts[1]), int(parts[2])
    if seq >= 1 << 63 or place >= 1 << 31:
        raise Refused("PAGE_TOKEN_INVALID")
    return After(_instant(parts[0]), seq, place)


def after_token(last: After, wanted: StatementWanted) -> str:
    """Return the token of the page that follows a movement."""
    content = f"{sql.micros(last.told_at)} {last.seq} {last.place}"
    return page_tokens.write(content.encode(), wanted.seal)


def _content(token: str, seal: Sequence[str]) -> str:
    if len(token) > TOKEN_LENGTH_MAX:
        raise Refused("PAGE_TOKEN_INVALID")
    try:
        return page_tokens.read(token, seal).decode("ascii")
    except (page_tokens.BadPageToken, UnicodeDecodeError):
        raise Refused("PAGE_TOKEN_INVALID") from None


def _instant(text: str) -> datetime:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise Refused("PAGE_TOKEN_INVALID")
    try:
        return sql.instant(int(text))
    except OverflowError:
        raise Refused("PAGE_TOKEN_INVALID") from None


def _merchant(asked: str, principal: lane_pb2.Principal, field: str, problems: _Problems) -> str:
    """Return whose report it is; to a merchant's own key all others are as if there were none."""
    if principal.merchant_id:
        if asked not in ("", principal.merchant_id):
            raise Refused("MERCHANT_UNKNOWN")
        return principal.merchant_id
    problems.unless(_ID.fullmatch(asked), field, "Must be the id of a merchant.")
    return asked


def _date(text: str, field: str, problems: _Problems) -> date | None:
    try:
        found = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        found = None
    problems.unless(found, field, "Must be a day, as 2026-01-31.")
    return found


def _check_currency(code: str, field: str, problems: _Problems) -> None:
    problems.unless(
        not code or _CURRENCY.fullmatch(code), field, "Must be an ISO 4217 code in upper case."
    )


def _times(
    asked: reporting_pb2.PaymentFilter
    | reporting_pb2.GetAccountStatementRequest
    | reporting_pb2.ExportStatementRequest,
    prefix: str,
    problems: _Problems,
) -> tuple[datetime, datetime]:
    first, last = FIRST_TIME, LAST_TIME
    if asked.HasField("from_time"):
        first = _time(asked.from_time, f"{prefix}from_time", problems)
    if asked.HasField("to_time"):
        last = _time(asked.to_time, f"{prefix}to_time", problems)
    problems.unless(first <= last, f"{prefix}to_time", "Must not be before from_time.")
    return first, last


def _time(asked: Timestamp, field: str, problems: _Problems) -> datetime:
    micros = asked.seconds * 1_000_000 + asked.nanos // 1_000
    is_right = 0 <= asked.nanos < 10**9 and 0 <= micros <= sql.micros(LAST_TIME)
    problems.unless(is_right, field, "Must be a time from 1970 to 9999.")
    return sql.instant(micros) if is_right else FIRST_TIME


def _is_text(text: str) -> bool:
    return len(text) <= METADATA_LENGTH_MAX and "\0" not in text
