"""The calls of ReportingService. What they answer is as new as their `position` says."""

import datetime
from collections.abc import Mapping, Sequence

from tender.calls import Call, Method
from tender.v1 import reporting_pb2 as pb
from tender.v1.payment_pb2 import Payment

DAYS = Method.of("ReportingService/GetMerchantReport", pb.GetMerchantReportResponse)
SEARCH = Method.of("ReportingService/SearchPayments", pb.SearchPaymentsResponse)
STATEMENT = Method.of("ReportingService/GetAccountStatement", pb.GetAccountStatementResponse)
EXPORT_PAYMENTS = Method.of("ReportingService/ExportPayments", pb.ExportPaymentsResponse)
EXPORT_STATEMENT = Method.of("ReportingService/ExportStatement", pb.ExportStatementResponse)
STATUS = Method.of("ReportingService/GetReportingStatus", pb.GetReportingStatusResponse)


def payment_filter(
    *,
    merchant_id: str = "",
    from_time: datetime.datetime | None = None,
    to_time: datetime.datetime | None = None,
    states: Sequence[Payment.State | str] = (),
    currency_code: str = "",
    minor_units_min: int = 0,
    minor_units_max: int = 0,
    payer_account_id: str = "",
    metadata: Mapping[str, str] | None = None,
) -> pb.PaymentFilter:
    """Which payments are wanted; what is left out lets all through."""
    return pb.PaymentFilter(
        merchant_id=merchant_id,
        from_time=from_time,
        to_time=to_time,
        states=states,
        currency_code=currency_code,
        minor_units_min=minor_units_min,
        minor_units_max=minor_units_max,
        payer_account_id=payer_account_id,
        metadata=metadata,
    )


def days(
    *,
    from_date: datetime.date,
    to_date: datetime.date,
    merchant_id: str = "",
    currency_code: str = "",
    timeout: float | None = None,
) -> Call[pb.GetMerchantReportResponse]:
    """Returns what a merchant's days (UTC) brought, the last one included."""
    request = pb.GetMerchantReportRequest(
        merchant_id=merchant_id,
        from_date=from_date.isoformat(),
        to_date=to_date.isoformat(),
        currency_code=currency_code,
    )
    return Call(DAYS, request, timeout)


def search(
    *,
    filter: pb.PaymentFilter,
    page_size: int = 0,
    page_token: str = "",
    timeout: float | None = None,
) -> Call[pb.SearchPaymentsResponse]:
    """Returns a merchant's payments that fit, newest first."""
    request = pb.SearchPaymentsRequest(filter=filter, page_size=page_size, page_token=page_token)
    return Call(SEARCH, request, timeout)


def statement(
    *,
    account_id: str,
    from_time: datetime.datetime | None = None,
    to_time: datetime.datetime | None = None,
    page_size: int = 0,
    page_token: str = "",
    timeout: float | None = None,
) -> Call[pb.GetAccountStatementResponse]:
    """Returns an account's movements with the balance after each, oldest first."""
    request = pb.GetAccountStatementRequest(
        account_id=account_id,
        from_time=from_time,
        to_time=to_time,
        page_size=page_size,
        page_token=page_token,
    )
    return Call(STATEMENT, request, timeout)


def export_payments(
    *, filter: pb.PaymentFilter, page_token: str = "", timeout: float | None = None
) -> Call[pb.ExportPaymentsResponse]:
    """Returns a chunk of payments as text with commas."""
    request = pb.ExportPaymentsRequest(filter=filter, page_token=page_token)
    return Call(EXPORT_PAYMENTS, request, timeout)


def export_statement(
    *,
    account_id: str,
    from_time: datetime.datetime | None = None,
    to_time: datetime.datetime | None = None,
    page_token: str = "",
    timeout: float | None = None,
) -> Call[pb.ExportStatementResponse]:
    """Returns a chunk of an account's movements as text with commas."""
    request = pb.ExportStatementRequest(
        account_id=account_id, from_time=from_time, to_time=to_time, page_token=page_token
    )
    return Call(EXPORT_STATEMENT, request, timeout)


def status(*, timeout: float | None = None) -> Call[pb.GetReportingStatusResponse]:
    """Returns how far events have been read."""
    return Call(STATUS, pb.GetReportingStatusRequest(), timeout)
