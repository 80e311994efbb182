import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tender.v1 import account_pb2 as _account_pb2
from tender.v1 import merchant_pb2 as _merchant_pb2
from tender.v1 import payment_pb2 as _payment_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Event(_message.Message):
    __slots__ = ("id", "type", "schema_version", "tenant_id", "create_time", "shard", "incarnation", "seq", "index", "entity_id", "version", "payment", "transfer", "account", "merchant")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    schema_version: int
    tenant_id: str
    create_time: _timestamp_pb2.Timestamp
    shard: str
    incarnation: str
    seq: int
    index: int
    entity_id: str
    version: int
    payment: PaymentChange
    transfer: TransferChange
    account: _account_pb2.Account
    merchant: _merchant_pb2.Merchant
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., schema_version: _Optional[int] = ..., tenant_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., shard: _Optional[str] = ..., incarnation: _Optional[str] = ..., seq: _Optional[int] = ..., index: _Optional[int] = ..., entity_id: _Optional[str] = ..., version: _Optional[int] = ..., payment: _Optional[_Union[PaymentChange, _Mapping]] = ..., transfer: _Optional[_Union[TransferChange, _Mapping]] = ..., account: _Optional[_Union[_account_pb2.Account, _Mapping]] = ..., merchant: _Optional[_Union[_merchant_pb2.Merchant, _Mapping]] = ...) -> None: ...

class PaymentChange(_message.Message):
    __slots__ = ("payment", "refunds")
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    REFUNDS_FIELD_NUMBER: _ClassVar[int]
    payment: _payment_pb2.Payment
    refunds: _containers.RepeatedCompositeFieldContainer[_payment_pb2.Refund]
    def __init__(self, payment: _Optional[_Union[_payment_pb2.Payment, _Mapping]] = ..., refunds: _Optional[_Iterable[_Union[_payment_pb2.Refund, _Mapping]]] = ...) -> None: ...

class TransferChange(_message.Message):
    __slots__ = ("transfer", "refund_id", "source_posted_after", "destination_posted_after")
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    REFUND_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_POSTED_AFTER_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_POSTED_AFTER_FIELD_NUMBER: _ClassVar[int]
    transfer: _account_pb2.Transfer
    refund_id: str
    source_posted_after: int
    destination_posted_after: int
    def __init__(self, transfer: _Optional[_Union[_account_pb2.Transfer, _Mapping]] = ..., refund_id: _Optional[str] = ..., source_posted_after: _Optional[int] = ..., destination_posted_after: _Optional[int] = ...) -> None: ...
