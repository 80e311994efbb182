"""What may be asked, page tokens, and cells that nobody runs."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.calls import Refused
from services.reporting import csv_text, questions
from services.reporting.questions import After, Before
from tender.v1 import lane_pb2, payment_pb2, reporting_pb2

SERVICE = lane_pb2.Principal(tenant_id="dev")
OWN = lane_pb2.Principal(tenant_id="dev", merchant_id="mer_eu_1")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def wanted(principal: lane_pb2.Principal = SERVICE, **fields: Any) -> questions.PaymentsWanted:
    fields.setdefault("merchant_id", "mer_eu_1")
    return questions.payments(reporting_pb2.PaymentFilter(**fields), principal)


def refused(ask: Callable[[], object]) -> set[str]:
    """Return the fields for which a question is refused."""
    with pytest.raises(Refused) as found:
        ask()
    assert found.value.reason == "FIELD_INVALID"
    return {problem.field for problem in found.value.problems}


def test_a_merchants_key_asks_for_its_own_alone() -> None:
    assert wanted(OWN, merchant_id="").merchant_id == "mer_eu_1"
    assert wanted(OWN, merchant_id="mer_eu_1").merchant_id == "mer_eu_1"
    with pytest.raises(Refused, match="MERCHANT_UNKNOWN"):
        wanted(OWN, merchant_id="mer_eu_2")
    with pytest.raises(Refused, match="MERCHANT_UNKNOWN"):
        questions.days(reporting_pb2.GetMerchantReportRequest(merchant_id="mer_eu_2"), OWN)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"merchant_id": ""}, "merchant_id"),
        ({"merchant_id": "mer'--"}, "merchant_id"),
        ({"merchant_id": "m" * 129}, "merchant_id"),
        ({"states": [payment_pb2.Payment.STATE_UNSPECIFIED]}, "states"),
        ({"states": [99]}, "states"),
        ({"currency_code": "eur"}, "currency_code"),
        ({"minor_units_min": 1}, "currency_code"),
        ({"minor_units_min": -1, "currency_code": "EUR"}, "minor_units_min"),
        ({"minor_units_min": 9, "minor_units_max": 8, "currency_code": "EUR"}, "minor_units_max"),
        ({"minor_units_max": 1 << 60, "currency_code": "EUR"}, "minor_units_max"),
        ({"payer_account_id": "a b"}, "payer_account_id"),
        ({"metadata": {str(n): "" for n in range(6)}}, "metadata"),
        ({"metadata": {"key": "nul \0"}}, "metadata"),
        ({"metadata": {"key": "x" * 501}}, "metadata"),
        ({"from_time": {"seconds": -1}}, "from_time"),
        ({"from_time": {"seconds": 1 << 60}}, "from_time"),
        ({"to_time": {"seconds": 1, "nanos": -1}}, "to_time"),
        ({"from_time": NOON, "to_time": NOON - timedelta(seconds=1)}, "to_time"),
    ],
)
def test_a_filter_that_is_none_is_refused_with_its_field(
    fields: dict[str, Any], problem: str
) -> None:
    assert f"filter.{problem}" in refused(lambda: wanted(**fields))


@pytest.mark.parametrize(
    ("first", "last", "problem"),
    [
        ("2026-01-01", "2026-1-2", "to_date"),
        ("20260101", "2026-01-02", "from_date"),
        ("2026-02-30", "2026-03-01", "from_date"),
        ("", "2026-03-01", "from_date"),
        ("2026-01-02", "2026-01-01", "to_date"),
        ("2025-01-01", "2026-01-02", "to_date"),
    ],
)
def test_days_that_are_none_are_refused(first: str, last: str, problem: str) -> None:
    request = reporting_pb2.GetMerchantReportRequest(
        merchant_id="mer_eu_1", from_date=first, to_date=last
    )

    assert refused(lambda: questions.days(request, SERVICE)) == {problem}


def test_a_year_of_days_may_be_asked_for() -> None:
    request = reporting_pb2.GetMerchantReportRequest(
        merchant_id="mer_eu_1", from_date="2024-01-01", to_date="2024-12-31"
    )

    assert (questions.days(request, SERVICE).last.isoformat()) == "2024-12-31"


def test_a_page_token_is_good_for_its_own_list_alone() -> None:
    last = Before(NOON, "pay_eu_1")
    token = questions.before_token(last, wanted(metadata={"a": "b"}))

    assert questions.before(token, wanted(metadata={"a": "b"})) == last
    assert questions.before("", wanted()) == questions.NEWEST
    for other in (
        wanted(),
        wanted(metadata={"a": "c"}),
        wanted(merchant_id="mer_eu_2", metadata={"a": "b"}),
        wanted(currency_code="EUR", metadata={"a": "b"}),
    ):
        with pytest.raises(Refused, match="PAGE_TOKEN_INVALID"):
            questions.before(token, other)


@pytest.mark.parametrize("token", ["x", "=", "A" * 600, "\0", "ä"])
def test_what_is_no_page_token_is_refused(token: str) -> None:
    asked = reporting_pb2.GetAccountStatementRequest(account_id="acc_eu_1")
    statement = questions.statement(asked, SERVICE)

    with pytest.raises(Refused, match="PAGE_TOKEN_INVALID"):
        questions.after(token, statement)
    with pytest.raises(Refused, match="PAGE_TOKEN_INVALID"):
        questions.before(token, wanted())


def test_a_statement_goes_on_where_its_token_says() -> None:
    asked = reporting_pb2.GetAccountStatementRequest(account_id="acc_eu_1", from_time=NOON)
    statement = questions.statement(asked, OWN)
    last = After(NOON, 17, 3)

    assert questions.after(questions.after_token(last, statement), statement) == last
    assert questions.after("", statement) == questions.BEGINNING


@pytest.mark.parametrize("size", [-1, 1_001])
def test_a_page_has_a_bound(size: int) -> None:
    with pytest.raises(Refused):
        questions.size(size, questions.LINES_DEFAULT, questions.LINES_MAX)

    assert questions.size(0, questions.LINES_DEFAULT, questions.LINES_MAX) == 200


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_cell_that_would_be_run_is_text(text: str) -> None:
    assert csv_text.guarded(text) == f"'{text}"


def test_lines_are_read_again_as_they_were() -> None:
    rows = [["a", 'said "no"', "one,two"], ["", "line\nbreak", "ü"]]

    text = csv_text.lines(rows)

    assert text.endswith("\r\n")
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows
    assert csv_text.guarded("plain = text") == "plain = text"
