"""Makes answers of rows; pure."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.reporting import csv_text, sql
from services.reporting.queries import Position
from tender.v1 import money_pb2, payment_pb2, reporting_pb2

PAYMENT_HEADS: Final = (
    *("payment_id", "merchant_id", "payer_account_id", "state", "decline_reason", "currency"),
    *("amount_minor_units", "captured_minor_units", "refunded_minor_units", "fee_minor_units"),
    *("fee_refunded_minor_units", "create_time", "update_time", "description", "metadata"),
)
LINE_HEADS: Final = (
    *("transfer_id", "create_time", "currency", "amount_minor_units", "posted_minor_units"),
    *("reason", "counterparty_account_id", "payment_id", "refund_id", "description"),
    *("shard", "incarnation", "seq"),
)
NO_DATE: Final = ""


def timestamp(time: datetime) -> Timestamp:
    """Return a time as protobuf has it."""
    seconds, micros = divmod(sql.micros(time), 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1_000)


def position(
    found: Sequence[Position], complete_at: float, now: float
) -> reporting_pb2.ReportPosition:
    """Return how far an answer is; `complete_at` is 0 while that is not known. Both in s."""
    answer = reporting_pb2.ReportPosition(
        shards=[
            reporting_pb2.ShardPosition(
                shard=it.shard,
                incarnation=it.incarnation,
                seq=it.seq,
                event_time=timestamp(it.told_at),
                history_lost=it.history_lost,
            )
            for it in found
        ]
    )
    if complete_at:
        nanos = int(max(0.0, now - complete_at) * 1e9)
        answer.staleness.CopyFrom(Duration(seconds=nanos // 10**9, nanos=nanos % 10**9))
    return answer


def days(states: Sequence[Any], volumes: Sequence[Any]) -> reporting_pb2.GetMerchantReportResponse:
    """Return days by currency and date, and the sum of all for each currency."""
    found: dict[tuple[str, str], _Day] = {}
    sums: dict[str, _Day] = {}

    def each(row: Any) -> tuple[_Day, _Day]:
        currency, date = row["currency"], row["day"].isoformat()
        return (
            found.setdefault((currency, date), _Day(currency, date)),
            sums.setdefault(currency, _Day(currency, NO_DATE)),
        )

    for row in states:
        for one in each(row):
            one.add_state(row["state"], row["payments"], row["amount"])
    for row in volumes:
        for one in each(row):
            one.add_volume(row)
    return reporting_pb2.GetMerchantReportResponse(
        days=[it.message() for _, it in sorted(found.items()) if it.is_any],
        totals=[it.message() for _, it in sorted(sums.items()) if it.is_any],
    )


_VOLUMES: Final = ("captured", "fees", "refunds", "refunded", "fees_refunded")


class _Day:
    """Sums of a day, or of all."""

    def __init__(self, currency: str, date: str) -> None:
        self._currency = currency
        self._date = date
        self._states: dict[str, tuple[int, int]] = {}
        self._volumes = dict.fromkeys(_VOLUMES, 0)

    @property
    def is_any(self) -> bool:
        return bool(self._states) or any(self._volumes.values())

    def add_state(self, state: str, count: int, amount: int) -> None:
        before = self._states.get(state, (0, 0))
        self._states[state] = (before[0] + count, before[1] + amount)

    def add_volume(self, row: Any) -> None:
        for name in _VOLUMES:
            self._volumes[name] += row[name]

    def message(self) -> reporting_pb2.MerchantDay:
        volumes = self._volumes
        return reporting_pb2.MerchantDay(
            date=self._date,
            currency_code=self._currency,
            states=[
                reporting_pb2.StateTotal(
                    state=f"STATE_{state}",
                    count=count,
                    amount=_money(self._currency, amount),
                )
                for state, (count, amount) in sorted(self._states.items())
            ],
            captured=_money(self._currency, volumes["captured"]),
            fees=_money(self._currency, volumes["fees"]),
            refund_count=volumes["refunds"],
            refunded=_money(self._currency, volumes["refunded"]),
            fees_refunded=_money(self._currency, volumes["fees_refunded"]),
        )


def _money(currency: str, units: int) -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency, minor_units=units)


def payment(row: Any) -> payment_pb2.Payment:
    """Return a payment of a row."""
    currency, reason = row["currency"], row["decline_reason"]
    return payment_pb2.Payment(
        id=row["id"],
        merchant_id=row["merchant_id"],
        payer_account_id=row["payer_account_id"],
        state=f"STATE_{row['state']}",
        capture_method=f"CAPTURE_METHOD_{row['capture_method']}",
        decline_reason=f"DECLINE_REASON_{reason or 'UNSPECIFIED'}",
        amount=_money(currency, row["amount"]),
        captured=_money(currency, row["captured"]),
        refunded=_money(currency, row["refunded"]),
        refund_pending=_money(currency, row["refund_pending"]),
        fee=_money(currency, row["fee"]),
        fee_refunded=_money(currency, row["fee_refunded"]),
        create_time=timestamp(row["created_at"]),
        update_time=timestamp(row["updated_at"]),
        version=row["version"],
        description=row["description"],
        metadata=json.loads(row["metadata"]),
    )


def is_source(row: Any, account_id: str) -> bool:
    """Say whether a movement went from an account."""
    return bool(row["source_account_id"] == account_id)


def line(row: Any, account_id: str) -> reporting_pb2.StatementLine:
    """Return a movement as the account sees it; the other side may be on another shard."""
    currency, went = row["currency"], is_source(row, account_id)
    return reporting_pb2.StatementLine(
        transfer_id=row["id"],
        create_time=timestamp(row["told_at"]),
        amount=_money(currency, -row["amount"] if went else row["amount"]),
        posted=_money(
            currency, row["source_posted_after"] if went else row["destination_posted_after"]
        ),
        counterparty_account_id=_counterparty(row, went),
        reason=f"REASON_{row['reason']}",
        payment_id=row["payment_id"],
        refund_id=row["refund_id"],
        description=row["description"],
        commit=reporting_pb2.ShardPosition(
            shard=row["shard"],
            incarnation=row["incarnation"],
            seq=row["seq"],
            event_time=timestamp(row["told_at"]),
        ),
    )


def _counterparty(row: Any, went: bool) -> str:
    other: str = row["destination_account_id"] if went else row["source_account_id"]
    return row["remote_account_id"] or other


def payment_cells(row: Any) -> Sequence[str]:
    """Return a payment's cells, as PAYMENT_HEADS names them."""
    metadata = json.dumps(json.loads(row["metadata"]), sort_keys=True, ensure_ascii=False)
    return (
        *(row["id"], row["merchant_id"], row["payer_account_id"]),
        *(row["state"], row["decline_reason"], row["currency"]),
        *(str(row["amount"]), str(row["captured"]), str(row["refunded"])),
        *(str(row["fee"]), str(row["fee_refunded"])),
        *(_moment(row["created_at"]), _moment(row["updated_at"])),
        csv_text.guarded(row["description"]),
        csv_text.guarded(metadata if metadata != "{}" else ""),
    )


def line_cells(row: Any, account_id: str) -> Sequence[str]:
    """Return a movement's cells, as LINE_HEADS names them."""
    went = is_source(row, account_id)
    posted = row["source_posted_after"] if went else row["destination_posted_after"]
    return (
        *(row["id"], _moment(row["told_at"]), row["currency"]),
        *(str(-row["amount"] if went else row["amount"]), str(posted)),
        *(row["reason"], csv_text.guarded(_counterparty(row, went))),
        *(row["payment_id"], row["refund_id"], csv_text.guarded(row["description"])),
        *(row["shard"], row["incarnation"], str(row["seq"])),
    )


def _moment(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
