"""Answers ReportingService."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from services.calls import Calls
from services.database import Pool
from services.reporting import answers, csv_text, queries, questions
from services.reporting.queries import Snapshot
from services.reporting.questions import (
    CHUNK_ROWS,
    After,
    Before,
    PaymentsWanted,
    StatementWanted,
)
from tender.v1 import lane_pb2, reporting_pb2


class Reporting:
    """The public calls, on a pool of the projection's database."""

    def __init__(self, pool: Pool, complete_at: Callable[[], float]) -> None:
        """`complete_at` says up to when everything is taken in, in s since 1970; 0: not known."""
        self._pool = pool
        self._complete_at = complete_at

    def calls(self) -> Calls:
        """Return what answers each method."""
        return Calls(
            {
                "GetMerchantReport": (reporting_pb2.GetMerchantReportRequest, self.days),
                "SearchPayments": (reporting_pb2.SearchPaymentsRequest, self.search),
                "GetAccountStatement": (reporting_pb2.GetAccountStatementRequest, self.statement),
                "ExportPayments": (reporting_pb2.ExportPaymentsRequest, self.export_payments),
                "ExportStatement": (reporting_pb2.ExportStatementRequest, self.export_statement),
                "GetReportingStatus": (reporting_pb2.GetReportingStatusRequest, self.status),
            }
        )

    async def days(
        self, request: reporting_pb2.GetMerchantReportRequest, principal: lane_pb2.Principal
    ) -> reporting_pb2.GetMerchantReportResponse:
        """Return a merchant's days."""
        wanted = questions.days(request, principal)
        complete_at = self._complete_at()
        async with queries.snapshot(self._pool) as snapshot:
            answer = answers.days(*await snapshot.days(wanted))
            answer.position.CopyFrom(await _position(snapshot, complete_at))
        return answer

    async def search(
        self, request: reporting_pb2.SearchPaymentsRequest, principal: lane_pb2.Principal
    ) -> reporting_pb2.SearchPaymentsResponse:
        """Return a page of payments."""
        wanted = questions.payments(request.filter, principal)
        before = questions.before(request.page_token, wanted)
        size = questions.size(request.page_size, questions.PAYMENTS_DEFAULT, questions.PAYMENTS_MAX)
        complete_at = self._complete_at()
        async with queries.snapshot(self._pool) as snapshot:
            rows = await snapshot.payments(wanted, before, size + 1)
            position = await _position(snapshot, complete_at)
        return reporting_pb2.SearchPaymentsResponse(
            payments=[answers.payment(row) for row in rows[:size]],
            next_page_token=_payments_token(rows, size, wanted),
            position=position,
        )

    async def statement(
        self, request: reporting_pb2.GetAccountStatementRequest, principal: lane_pb2.Principal
    ) -> reporting_pb2.GetAccountStatementResponse:
        """Return a page of an account's movements."""
        wanted = questions.statement(request, principal)
        after = questions.after(request.page_token, wanted)
        size = questions.size(request.page_size, questions.LINES_DEFAULT, questions.LINES_MAX)
        complete_at = self._complete_at()
        async with queries.snapshot(self._pool) as snapshot:
            account = await snapshot.account(wanted)
            rows = await snapshot.lines(wanted, after, size + 1)
            position = await _position(snapshot, complete_at)
        answer = reporting_pb2.GetAccountStatementResponse(
            lines=[answers.line(row, wanted.account_id) for row in rows[:size]],
            next_page_token=_lines_token(rows, size, wanted),
            position=position,
        )
        answer.posted.currency_code = account["currency"]
        answer.posted.minor_units = account["posted"]
        return answer

    async def export_payments(
        self, request: reporting_pb2.ExportPaymentsRequest, principal: lane_pb2.Principal
    ) -> reporting_pb2.ExportPaymentsResponse:
        """Return a chunk of payments as text."""
        wanted = questions.payments(request.filter, principal)
        before = questions.before(request.page_token, wanted)
        complete_at = self._complete_at()
        async with queries.snapshot(self._pool) as snapshot:
            rows = await snapshot.payments(wanted, before, CHUNK_ROWS + 1)
            position = await _position(snapshot, complete_at)
        shown = rows[:CHUNK_ROWS]
        heads = () if request.page_token else (answers.PAYMENT_HEADS,)
        return reporting_pb2.ExportPaymentsResponse(
            csv=csv_text.lines([*heads, *map(answers.payment_cells, shown)]),
            row_count=len(shown),
            next_page_token=_payments_token(rows, CHUNK_ROWS, wanted),
            position=position,
        )

    async def export_statement(
        self, request: reporting_pb2.ExportStatementRequest, principal: lane_pb2.Principal
    ) -> reporting_pb2.ExportStatementResponse:
        """Return a chunk of an account's movements as text."""
        wanted = questions.statement(request, principal)
        after = questions.after(request.page_token, wanted)
        complete_at = self._complete_at()
        async with queries.snapshot(self._pool) as snapshot:
            await snapshot.account(wanted)
            rows = await snapshot.lines(wanted, after, CHUNK_ROWS + 1)
            position = await _position(snapshot, complete_at)
        shown = [answers.line_cells(row, wanted.account_id) for row in rows[:CHUNK_ROWS]]
        heads = () if request.page_token else (answers.LINE_HEADS,)
        return reporting_pb2.ExportStatementResponse(
            csv=csv_text.lines([*heads, *shown]),
            row_count=len(shown),
            next_page_token=_lines_token(rows, CHUNK_ROWS, wanted),
            position=position,
        )

    async def status(
        self, _request: reporting_pb2.GetReportingStatusRequest, _principal: lane_pb2.Principal
    ) -> reporting_pb2.GetReportingStatusResponse:
        """Return how far events have been read."""
        complete_at = self._complete_at()
        async with queries.snapshot(self._pool) as snapshot:
            position = await _position(snapshot, complete_at)
            built_at = await snapshot.built_at()
        return reporting_pb2.GetReportingStatusResponse(
            position=position, rebuild_time=answers.timestamp(built_at) if built_at else None
        )


async def _position(snapshot: Snapshot, complete_at: float) -> reporting_pb2.ReportPosition:
    return answers.position(await snapshot.positions(), complete_at, time.time())


def _payments_token(rows: Sequence[Any], size: int, wanted: PaymentsWanted) -> str:
    if len(rows) <= size:
        return ""
    last = rows[size - 1]
    return questions.before_token(Before(last["created_at"], last["id"]), wanted)


def _lines_token(rows: Sequence[Any], size: int, wanted: StatementWanted) -> str:
    if len(rows) <= size:
        return ""
    last = rows[size - 1]
    return questions.after_token(After(last["told_at"], last["seq"], last["place"]), wanted)
