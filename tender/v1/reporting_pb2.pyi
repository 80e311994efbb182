import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tender.v1 import account_pb2 as _account_pb2
from tender.v1 import money_pb2 as _money_pb2
from tender.v1 import payment_pb2 as _payment_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportPosition(_message.Message):
    __slots__ = ("shards", "staleness")
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    STALENESS_FIELD_NUMBER: _ClassVar[int]
    shards: _containers.RepeatedCompositeFieldContainer[ShardPosition]
    staleness: _duration_pb2.Duration
    def __init__(self, shards: _Optional[_Iterable[_Union[ShardPosition, _Mapping]]] = ..., staleness: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ShardPosition(_message.Message):
    __slots__ = ("shard", "incarnation", "seq", "event_time", "history_lost")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    HISTORY_LOST_FIELD_NUMBER: _ClassVar[int]
    shard: str
    incarnation: str
    seq: int
    event_time: _timestamp_pb2.Timestamp
    history_lost: bool
    def __init__(self, shard: _Optional[str] = ..., incarnation: _Optional[str] = ..., seq: _Optional[int] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., history_lost: bool = ...) -> None: ...

class GetMerchantReportRequest(_message.Message):
    __slots__ = ("merchant_id", "from_date", "to_date", "currency_code")
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_DATE_FIELD_NUMBER: _ClassVar[int]
    TO_DATE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    merchant_id: str
    from_date: str
    to_date: str
    currency_code: str
    def __init__(self, merchant_id: _Optional[str] = ..., from_date: _Optional[str] = ..., to_date: _Optional[str] = ..., currency_code: _Optional[str] = ...) -> None: ...

class GetMerchantReportResponse(_message.Message):
    __slots__ = ("days", "totals", "position")
    DAYS_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    days: _containers.RepeatedCompositeFieldContainer[MerchantDay]
    totals: _containers.RepeatedCompositeFieldContainer[MerchantDay]
    position: ReportPosition
    def __init__(self, days: _Optional[_Iterable[_Union[MerchantDay, _Mapping]]] = ..., totals: _Optional[_Iterable[_Union[MerchantDay, _Mapping]]] = ..., position: _Optional[_Union[ReportPosition, _Mapping]] = ...) -> None: ...

class MerchantDay(_message.Message):
    __slots__ = ("date", "currency_code", "states", "captured", "fees", "refund_count", "refunded", "fees_refunded")
    DATE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_FIELD_NUMBER: _ClassVar[int]
    FEES_FIELD_NUMBER: _ClassVar[int]
    REFUND_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_FIELD_NUMBER: _ClassVar[int]
    FEES_REFUNDED_FIELD_NUMBER: _ClassVar[int]
    date: str
    currency_code: str
    states: _containers.RepeatedCompositeFieldContainer[StateTotal]
    captured: _money_pb2.Money
    fees: _money_pb2.Money
    refund_count: int
    refunded: _money_pb2.Money
    fees_refunded: _money_pb2.Money
    def __init__(self, date: _Optional[str] = ..., currency_code: _Optional[str] = ..., states: _Optional[_Iterable[_Union[StateTotal, _Mapping]]] = ..., captured: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., fees: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., refund_count: _Optional[int] = ..., refunded: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., fees_refunded: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...

class StateTotal(_message.Message):
    __slots__ = ("state", "count", "amount")
    STATE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    state: _payment_pb2.Payment.State
    count: int
    amount: _money_pb2.Money
    def __init__(self, state: _Optional[_Union[_payment_pb2.Payment.State, str]] = ..., count: _Optional[int] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...

class PaymentFilter(_message.Message):
    __slots__ = ("merchant_id", "from_time", "to_time", "states", "currency_code", "minor_units_min", "minor_units_max", "payer_account_id", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    TO_TIME_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    MINOR_UNITS_MIN_FIELD_NUMBER: _ClassVar[int]
    MINOR_UNITS_MAX_FIELD_NUMBER: _ClassVar[int]
    PAYER_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    merchant_id: str
    from_time: _timestamp_pb2.Timestamp
    to_time: _timestamp_pb2.Timestamp
    states: _containers.RepeatedScalarFieldContainer[_payment_pb2.Payment.State]
    currency_code: str
    minor_units_min: int
    minor_units_max: int
    payer_account_id: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, merchant_id: _Optional[str] = ..., from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., to_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., states: _Optional[_Iterable[_Union[_payment_pb2.Payment.State, str]]] = ..., currency_code: _Optional[str] = ..., minor_units_min: _Optional[int] = ..., minor_units_max: _Optional[int] = ..., payer_account_id: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SearchPaymentsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: PaymentFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[PaymentFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class SearchPaymentsResponse(_message.Message):
    __slots__ = ("payments", "next_page_token", "position")
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    payments: _containers.RepeatedCompositeFieldContainer[_payment_pb2.Payment]
    next_page_token: str
    position: ReportPosition
    def __init__(self, payments: _Optional[_Iterable[_Union[_payment_pb2.Payment, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., position: _Optional[_Union[ReportPosition, _Mapping]] = ...) -> None: ...

class GetAccountStatementRequest(_message.Message):
    __slots__ = ("account_id", "from_time", "to_time", "page_size", "page_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    TO_TIME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    from_time: _timestamp_pb2.Timestamp
    to_time: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, account_id: _Optional[str] = ..., from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., to_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetAccountStatementResponse(_message.Message):
    __slots__ = ("lines", "next_page_token", "posted", "position")
    LINES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    POSTED_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[StatementLine]
    next_page_token: str
    posted: _money_pb2.Money
    position: ReportPosition
    def __init__(self, lines: _Optional[_Iterable[_Union[StatementLine, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., posted: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., position: _Optional[_Union[ReportPosition, _Mapping]] = ...) -> None: ...

class StatementLine(_message.Message):
    __slots__ = ("transfer_id", "create_time", "amount", "posted", "counterparty_account_id", "reason", "payment_id", "refund_id", "description", "commit")
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    POSTED_FIELD_NUMBER: _ClassVar[int]
    COUNTERPARTY_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REFUND_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    transfer_id: str
    create_time: _timestamp_pb2.Timestamp
    amount: _money_pb2.Money
    posted: _money_pb2.Money
    counterparty_account_id: str
    reason: _account_pb2.Transfer.Reason
    payment_id: str
    refund_id: str
    description: str
    commit: ShardPosition
    def __init__(self, transfer_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., posted: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., counterparty_account_id: _Optional[str] = ..., reason: _Optional[_Union[_account_pb2.Transfer.Reason, str]] = ..., payment_id: _Optional[str] = ..., refund_id: _Optional[str] = ..., description: _Optional[str] = ..., commit: _Optional[_Union[ShardPosition, _Mapping]] = ...) -> None: ...

class ExportPaymentsRequest(_message.Message):
    __slots__ = ("filter", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: PaymentFilter
    page_token: str
    def __init__(self, filter: _Optional[_Union[PaymentFilter, _Mapping]] = ..., page_token: _Optional[str] = ...) -> None: ...

class ExportPaymentsResponse(_message.Message):
    __slots__ = ("csv", "row_count", "next_page_token", "position")
    CSV_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    csv: str
    row_count: int
    next_page_token: str
    position: ReportPosition
    def __init__(self, csv: _Optional[str] = ..., row_count: _Optional[int] = ..., next_page_token: _Optional[str] = ..., position: _Optional[_Union[ReportPosition, _Mapping]] = ...) -> None: ...

class ExportStatementRequest(_message.Message):
    __slots__ = ("account_id", "from_time", "to_time", "page_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    TO_TIME_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    from_time: _timestamp_pb2.Timestamp
    to_time: _timestamp_pb2.Timestamp
    page_token: str
    def __init__(self, account_id: _Optional[str] = ..., from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., to_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_token: _Optional[str] = ...) -> None: ...

class ExportStatementResponse(_message.Message):
    __slots__ = ("csv", "row_count", "next_page_token", "position")
    CSV_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    csv: str
    row_count: int
    next_page_token: str
    position: ReportPosition
    def __init__(self, csv: _Optional[str] = ..., row_count: _Optional[int] = ..., next_page_token: _Optional[str] = ..., position: _Optional[_Union[ReportPosition, _Mapping]] = ...) -> None: ...

class GetReportingStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetReportingStatusResponse(_message.Message):
    __slots__ = ("position", "rebuild_time")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REBUILD_TIME_FIELD_NUMBER: _ClassVar[int]
    position: ReportPosition
    rebuild_time: _timestamp_pb2.Timestamp
    def __init__(self, position: _Optional[_Union[ReportPosition, _Mapping]] = ..., rebuild_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
