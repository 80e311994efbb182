import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tender.v1 import account_pb2 as _account_pb2
from tender.v1 import as_of_pb2 as _as_of_pb2
from tender.v1 import merchant_pb2 as _merchant_pb2
from tender.v1 import payment_pb2 as _payment_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetRequestRequest(_message.Message):
    __slots__ = ("request_id", "read_token")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    read_token: str
    def __init__(self, request_id: _Optional[str] = ..., read_token: _Optional[str] = ...) -> None: ...

class GetRequestResponse(_message.Message):
    __slots__ = ("requests", "read_token", "as_of")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[StoredRequest]
    read_token: str
    as_of: _containers.RepeatedCompositeFieldContainer[_as_of_pb2.AsOf]
    def __init__(self, requests: _Optional[_Iterable[_Union[StoredRequest, _Mapping]]] = ..., read_token: _Optional[str] = ..., as_of: _Optional[_Iterable[_Union[_as_of_pb2.AsOf, _Mapping]]] = ...) -> None: ...

class StoredRequest(_message.Message):
    __slots__ = ("request_id", "shard", "state", "method", "create_time", "fingerprint", "resource_id", "authorized", "captured", "voided", "refunded", "reversed", "account_created", "account_frozen", "account_unfrozen", "account_closed", "transferred", "merchant_created", "merchant_updated")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[StoredRequest.State]
        STATE_ANSWERED: _ClassVar[StoredRequest.State]
        STATE_REVERSED_BEFORE_ARRIVAL: _ClassVar[StoredRequest.State]
    STATE_UNSPECIFIED: StoredRequest.State
    STATE_ANSWERED: StoredRequest.State
    STATE_REVERSED_BEFORE_ARRIVAL: StoredRequest.State
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    AUTHORIZED_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_FIELD_NUMBER: _ClassVar[int]
    VOIDED_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_FIELD_NUMBER: _ClassVar[int]
    REVERSED_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_CREATED_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FROZEN_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_UNFROZEN_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_CLOSED_FIELD_NUMBER: _ClassVar[int]
    TRANSFERRED_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_CREATED_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_UPDATED_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    shard: str
    state: StoredRequest.State
    method: str
    create_time: _timestamp_pb2.Timestamp
    fingerprint: str
    resource_id: str
    authorized: _payment_pb2.AuthorizePaymentResponse
    captured: _payment_pb2.CapturePaymentResponse
    voided: _payment_pb2.VoidPaymentResponse
    refunded: _payment_pb2.RefundPaymentResponse
    reversed: _payment_pb2.ReversePaymentResponse
    account_created: _account_pb2.CreateAccountResponse
    account_frozen: _account_pb2.FreezeAccountResponse
    account_unfrozen: _account_pb2.UnfreezeAccountResponse
    account_closed: _account_pb2.CloseAccountResponse
    transferred: _account_pb2.CreateTransferResponse
    merchant_created: _merchant_pb2.CreateMerchantResponse
    merchant_updated: _merchant_pb2.UpdateMerchantResponse
    def __init__(self, request_id: _Optional[str] = ..., shard: _Optional[str] = ..., state: _Optional[_Union[StoredRequest.State, str]] = ..., method: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fingerprint: _Optional[str] = ..., resource_id: _Optional[str] = ..., authorized: _Optional[_Union[_payment_pb2.AuthorizePaymentResponse, _Mapping]] = ..., captured: _Optional[_Union[_payment_pb2.CapturePaymentResponse, _Mapping]] = ..., voided: _Optional[_Union[_payment_pb2.VoidPaymentResponse, _Mapping]] = ..., refunded: _Optional[_Union[_payment_pb2.RefundPaymentResponse, _Mapping]] = ..., reversed: _Optional[_Union[_payment_pb2.ReversePaymentResponse, _Mapping]] = ..., account_created: _Optional[_Union[_account_pb2.CreateAccountResponse, _Mapping]] = ..., account_frozen: _Optional[_Union[_account_pb2.FreezeAccountResponse, _Mapping]] = ..., account_unfrozen: _Optional[_Union[_account_pb2.UnfreezeAccountResponse, _Mapping]] = ..., account_closed: _Optional[_Union[_account_pb2.CloseAccountResponse, _Mapping]] = ..., transferred: _Optional[_Union[_account_pb2.CreateTransferResponse, _Mapping]] = ..., merchant_created: _Optional[_Union[_merchant_pb2.CreateMerchantResponse, _Mapping]] = ..., merchant_updated: _Optional[_Union[_merchant_pb2.UpdateMerchantResponse, _Mapping]] = ...) -> None: ...
