import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from tender.v1 import as_of_pb2 as _as_of_pb2
from tender.v1 import merchant_pb2 as _merchant_pb2
from tender.v1 import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CaptureMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAPTURE_METHOD_UNSPECIFIED: _ClassVar[CaptureMethod]
    CAPTURE_METHOD_AUTOMATIC: _ClassVar[CaptureMethod]
    CAPTURE_METHOD_MANUAL: _ClassVar[CaptureMethod]
    CAPTURE_METHOD_MANUAL_MULTIPLE: _ClassVar[CaptureMethod]

class DeclineReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECLINE_REASON_UNSPECIFIED: _ClassVar[DeclineReason]
    DECLINE_REASON_INSUFFICIENT_FUNDS: _ClassVar[DeclineReason]
    DECLINE_REASON_RISK_REFUSED: _ClassVar[DeclineReason]
    DECLINE_REASON_REVERSED: _ClassVar[DeclineReason]
CAPTURE_METHOD_UNSPECIFIED: CaptureMethod
CAPTURE_METHOD_AUTOMATIC: CaptureMethod
CAPTURE_METHOD_MANUAL: CaptureMethod
CAPTURE_METHOD_MANUAL_MULTIPLE: CaptureMethod
DECLINE_REASON_UNSPECIFIED: DeclineReason
DECLINE_REASON_INSUFFICIENT_FUNDS: DeclineReason
DECLINE_REASON_RISK_REFUSED: DeclineReason
DECLINE_REASON_REVERSED: DeclineReason

class Payment(_message.Message):
    __slots__ = ("id", "merchant_id", "payer_account_id", "settlement_account_id", "state", "capture_method", "decline_reason", "amount", "captured", "capturable", "refunded", "refund_pending", "fee", "fee_refunded", "fee_schedule", "hold_expire_time", "create_time", "update_time", "version", "description", "metadata")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Payment.State]
        STATE_PROCESSING: _ClassVar[Payment.State]
        STATE_AUTHORIZED: _ClassVar[Payment.State]
        STATE_PARTIALLY_CAPTURED: _ClassVar[Payment.State]
        STATE_CAPTURED: _ClassVar[Payment.State]
        STATE_VOIDED: _ClassVar[Payment.State]
        STATE_EXPIRED: _ClassVar[Payment.State]
        STATE_DECLINED: _ClassVar[Payment.State]
        STATE_FAILED: _ClassVar[Payment.State]
        STATE_IN_DOUBT: _ClassVar[Payment.State]
    STATE_UNSPECIFIED: Payment.State
    STATE_PROCESSING: Payment.State
    STATE_AUTHORIZED: Payment.State
    STATE_PARTIALLY_CAPTURED: Payment.State
    STATE_CAPTURED: Payment.State
    STATE_VOIDED: Payment.State
    STATE_EXPIRED: Payment.State
    STATE_DECLINED: Payment.State
    STATE_FAILED: Payment.State
    STATE_IN_DOUBT: Payment.State
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    PAYER_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_METHOD_FIELD_NUMBER: _ClassVar[int]
    DECLINE_REASON_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_FIELD_NUMBER: _ClassVar[int]
    CAPTURABLE_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_FIELD_NUMBER: _ClassVar[int]
    REFUND_PENDING_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_REFUNDED_FIELD_NUMBER: _ClassVar[int]
    FEE_SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    HOLD_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    merchant_id: str
    payer_account_id: str
    settlement_account_id: str
    state: Payment.State
    capture_method: CaptureMethod
    decline_reason: DeclineReason
    amount: _money_pb2.Money
    captured: _money_pb2.Money
    capturable: _money_pb2.Money
    refunded: _money_pb2.Money
    refund_pending: _money_pb2.Money
    fee: _money_pb2.Money
    fee_refunded: _money_pb2.Money
    fee_schedule: _merchant_pb2.FeeSchedule
    hold_expire_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    version: int
    description: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., payer_account_id: _Optional[str] = ..., settlement_account_id: _Optional[str] = ..., state: _Optional[_Union[Payment.State, str]] = ..., capture_method: _Optional[_Union[CaptureMethod, str]] = ..., decline_reason: _Optional[_Union[DeclineReason, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., captured: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., capturable: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., refunded: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., refund_pending: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., fee: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., fee_refunded: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., fee_schedule: _Optional[_Union[_merchant_pb2.FeeSchedule, _Mapping]] = ..., hold_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., description: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Refund(_message.Message):
    __slots__ = ("id", "payment_id", "state", "amount", "fee_refunded", "create_time", "description", "failure_reason")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Refund.State]
        STATE_PENDING: _ClassVar[Refund.State]
        STATE_SUCCEEDED: _ClassVar[Refund.State]
        STATE_FAILED: _ClassVar[Refund.State]
    STATE_UNSPECIFIED: Refund.State
    STATE_PENDING: Refund.State
    STATE_SUCCEEDED: Refund.State
    STATE_FAILED: Refund.State
    ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    FEE_REFUNDED_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    payment_id: str
    state: Refund.State
    amount: _money_pb2.Money
    fee_refunded: _money_pb2.Money
    create_time: _timestamp_pb2.Timestamp
    description: str
    failure_reason: str
    def __init__(self, id: _Optional[str] = ..., payment_id: _Optional[str] = ..., state: _Optional[_Union[Refund.State, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., fee_refunded: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., description: _Optional[str] = ..., failure_reason: _Optional[str] = ...) -> None: ...

class Leg(_message.Message):
    __slots__ = ("transfer_id", "account_id", "amount", "state", "create_time")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Leg.State]
        STATE_PENDING: _ClassVar[Leg.State]
        STATE_POSTED: _ClassVar[Leg.State]
        STATE_SUSPENSE: _ClassVar[Leg.State]
    STATE_UNSPECIFIED: Leg.State
    STATE_PENDING: Leg.State
    STATE_POSTED: Leg.State
    STATE_SUSPENSE: Leg.State
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    transfer_id: str
    account_id: str
    amount: _money_pb2.Money
    state: Leg.State
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, transfer_id: _Optional[str] = ..., account_id: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., state: _Optional[_Union[Leg.State, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AuthorizePaymentRequest(_message.Message):
    __slots__ = ("request_id", "payer_account_id", "merchant_id", "amount", "capture_method", "hold_duration_seconds", "description", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAYER_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_METHOD_FIELD_NUMBER: _ClassVar[int]
    HOLD_DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    payer_account_id: str
    merchant_id: str
    amount: _money_pb2.Money
    capture_method: CaptureMethod
    hold_duration_seconds: int
    description: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, request_id: _Optional[str] = ..., payer_account_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., capture_method: _Optional[_Union[CaptureMethod, str]] = ..., hold_duration_seconds: _Optional[int] = ..., description: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class AuthorizePaymentResponse(_message.Message):
    __slots__ = ("payment", "read_token")
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    read_token: str
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class CapturePaymentRequest(_message.Message):
    __slots__ = ("request_id", "payment_id", "amount", "final")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    payment_id: str
    amount: _money_pb2.Money
    final: bool
    def __init__(self, request_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., final: bool = ...) -> None: ...

class CapturePaymentResponse(_message.Message):
    __slots__ = ("payment", "read_token")
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    read_token: str
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class VoidPaymentRequest(_message.Message):
    __slots__ = ("request_id", "payment_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    payment_id: str
    def __init__(self, request_id: _Optional[str] = ..., payment_id: _Optional[str] = ...) -> None: ...

class VoidPaymentResponse(_message.Message):
    __slots__ = ("payment", "read_token")
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    read_token: str
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class RefundPaymentRequest(_message.Message):
    __slots__ = ("request_id", "payment_id", "amount", "description")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    payment_id: str
    amount: _money_pb2.Money
    description: str
    def __init__(self, request_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., description: _Optional[str] = ...) -> None: ...

class RefundPaymentResponse(_message.Message):
    __slots__ = ("payment", "refund", "read_token")
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    REFUND_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    refund: Refund
    read_token: str
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ..., refund: _Optional[_Union[Refund, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class ReversePaymentRequest(_message.Message):
    __slots__ = ("request_id", "original_request_id", "payer_account_id", "merchant_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAYER_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    original_request_id: str
    payer_account_id: str
    merchant_id: str
    def __init__(self, request_id: _Optional[str] = ..., original_request_id: _Optional[str] = ..., payer_account_id: _Optional[str] = ..., merchant_id: _Optional[str] = ...) -> None: ...

class ReversePaymentResponse(_message.Message):
    __slots__ = ("result", "payment", "refund", "read_token")
    class Result(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RESULT_UNSPECIFIED: _ClassVar[ReversePaymentResponse.Result]
        RESULT_VOIDED: _ClassVar[ReversePaymentResponse.Result]
        RESULT_REFUNDED: _ClassVar[ReversePaymentResponse.Result]
        RESULT_NOT_ARRIVED: _ClassVar[ReversePaymentResponse.Result]
        RESULT_NOTHING_TO_REVERSE: _ClassVar[ReversePaymentResponse.Result]
    RESULT_UNSPECIFIED: ReversePaymentResponse.Result
    RESULT_VOIDED: ReversePaymentResponse.Result
    RESULT_REFUNDED: ReversePaymentResponse.Result
    RESULT_NOT_ARRIVED: ReversePaymentResponse.Result
    RESULT_NOTHING_TO_REVERSE: ReversePaymentResponse.Result
    RESULT_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    REFUND_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    result: ReversePaymentResponse.Result
    payment: Payment
    refund: Refund
    read_token: str
    def __init__(self, result: _Optional[_Union[ReversePaymentResponse.Result, str]] = ..., payment: _Optional[_Union[Payment, _Mapping]] = ..., refund: _Optional[_Union[Refund, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class GetPaymentRequest(_message.Message):
    __slots__ = ("payment_id", "merchant_id", "request_id", "read_token")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    merchant_id: str
    request_id: str
    read_token: str
    def __init__(self, payment_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., request_id: _Optional[str] = ..., read_token: _Optional[str] = ...) -> None: ...

class GetPaymentResponse(_message.Message):
    __slots__ = ("payment", "refunds", "read_token", "legs", "as_of")
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    REFUNDS_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LEGS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    refunds: _containers.RepeatedCompositeFieldContainer[Refund]
    read_token: str
    legs: _containers.RepeatedCompositeFieldContainer[Leg]
    as_of: _containers.RepeatedCompositeFieldContainer[_as_of_pb2.AsOf]
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ..., refunds: _Optional[_Iterable[_Union[Refund, _Mapping]]] = ..., read_token: _Optional[str] = ..., legs: _Optional[_Iterable[_Union[Leg, _Mapping]]] = ..., as_of: _Optional[_Iterable[_Union[_as_of_pb2.AsOf, _Mapping]]] = ...) -> None: ...

class ListPaymentsRequest(_message.Message):
    __slots__ = ("merchant_id", "payer_account_id", "page_size", "page_token", "read_token")
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    PAYER_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    merchant_id: str
    payer_account_id: str
    page_size: int
    page_token: str
    read_token: str
    def __init__(self, merchant_id: _Optional[str] = ..., payer_account_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., read_token: _Optional[str] = ...) -> None: ...

class ListPaymentsResponse(_message.Message):
    __slots__ = ("payments", "next_page_token", "read_token", "as_of")
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    payments: _containers.RepeatedCompositeFieldContainer[Payment]
    next_page_token: str
    read_token: str
    as_of: _containers.RepeatedCompositeFieldContainer[_as_of_pb2.AsOf]
    def __init__(self, payments: _Optional[_Iterable[_Union[Payment, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., read_token: _Optional[str] = ..., as_of: _Optional[_Iterable[_Union[_as_of_pb2.AsOf, _Mapping]]] = ...) -> None: ...

class AuthorizePaymentsRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[AuthorizePaymentRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[AuthorizePaymentRequest, _Mapping]]] = ...) -> None: ...

class AuthorizePaymentsResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[PaymentOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[PaymentOutcome, _Mapping]]] = ...) -> None: ...

class PaymentOutcome(_message.Message):
    __slots__ = ("request_id", "authorized", "captured", "voided", "refunded", "reversed", "error", "replayed")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    AUTHORIZED_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_FIELD_NUMBER: _ClassVar[int]
    VOIDED_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_FIELD_NUMBER: _ClassVar[int]
    REVERSED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    authorized: AuthorizePaymentResponse
    captured: CapturePaymentResponse
    voided: VoidPaymentResponse
    refunded: RefundPaymentResponse
    reversed: ReversePaymentResponse
    error: _status_pb2.Status
    replayed: bool
    def __init__(self, request_id: _Optional[str] = ..., authorized: _Optional[_Union[AuthorizePaymentResponse, _Mapping]] = ..., captured: _Optional[_Union[CapturePaymentResponse, _Mapping]] = ..., voided: _Optional[_Union[VoidPaymentResponse, _Mapping]] = ..., refunded: _Optional[_Union[RefundPaymentResponse, _Mapping]] = ..., reversed: _Optional[_Union[ReversePaymentResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., replayed: bool = ...) -> None: ...

class PaymentCommand(_message.Message):
    __slots__ = ("authorize", "capture", "void", "refund", "reverse")
    AUTHORIZE_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_FIELD_NUMBER: _ClassVar[int]
    VOID_FIELD_NUMBER: _ClassVar[int]
    REFUND_FIELD_NUMBER: _ClassVar[int]
    REVERSE_FIELD_NUMBER: _ClassVar[int]
    authorize: AuthorizePaymentRequest
    capture: CapturePaymentRequest
    void: VoidPaymentRequest
    refund: RefundPaymentRequest
    reverse: ReversePaymentRequest
    def __init__(self, authorize: _Optional[_Union[AuthorizePaymentRequest, _Mapping]] = ..., capture: _Optional[_Union[CapturePaymentRequest, _Mapping]] = ..., void: _Optional[_Union[VoidPaymentRequest, _Mapping]] = ..., refund: _Optional[_Union[RefundPaymentRequest, _Mapping]] = ..., reverse: _Optional[_Union[ReversePaymentRequest, _Mapping]] = ...) -> None: ...

class StreamPaymentsRequest(_message.Message):
    __slots__ = ("commands",)
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    commands: _containers.RepeatedCompositeFieldContainer[PaymentCommand]
    def __init__(self, commands: _Optional[_Iterable[_Union[PaymentCommand, _Mapping]]] = ...) -> None: ...

class StreamPaymentsResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[PaymentOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[PaymentOutcome, _Mapping]]] = ...) -> None: ...
