import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RawAuthorizePaymentsRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, requests: _Optional[_Iterable[bytes]] = ...) -> None: ...

class RawPaymentCommand(_message.Message):
    __slots__ = ("authorize", "capture", "void", "refund", "reverse")
    AUTHORIZE_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_FIELD_NUMBER: _ClassVar[int]
    VOID_FIELD_NUMBER: _ClassVar[int]
    REFUND_FIELD_NUMBER: _ClassVar[int]
    REVERSE_FIELD_NUMBER: _ClassVar[int]
    authorize: bytes
    capture: bytes
    void: bytes
    refund: bytes
    reverse: bytes
    def __init__(self, authorize: _Optional[bytes] = ..., capture: _Optional[bytes] = ..., void: _Optional[bytes] = ..., refund: _Optional[bytes] = ..., reverse: _Optional[bytes] = ...) -> None: ...

class RawStreamPaymentsRequest(_message.Message):
    __slots__ = ("commands",)
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    commands: _containers.RepeatedCompositeFieldContainer[RawPaymentCommand]
    def __init__(self, commands: _Optional[_Iterable[_Union[RawPaymentCommand, _Mapping]]] = ...) -> None: ...

class RawPaymentOutcome(_message.Message):
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
    authorized: bytes
    captured: bytes
    voided: bytes
    refunded: bytes
    reversed: bytes
    error: bytes
    replayed: bool
    def __init__(self, request_id: _Optional[str] = ..., authorized: _Optional[bytes] = ..., captured: _Optional[bytes] = ..., voided: _Optional[bytes] = ..., refunded: _Optional[bytes] = ..., reversed: _Optional[bytes] = ..., error: _Optional[bytes] = ..., replayed: bool = ...) -> None: ...

class RawPaymentOutcomes(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[RawPaymentOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[RawPaymentOutcome, _Mapping]]] = ...) -> None: ...

class RawSubmitPaymentRequest(_message.Message):
    __slots__ = ("command",)
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    command: bytes
    def __init__(self, command: _Optional[bytes] = ...) -> None: ...

class RawCommandOutcome(_message.Message):
    __slots__ = ("operation_id", "schema_version", "tenant_id", "merchant_id", "method", "accept_time", "outcome")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    schema_version: int
    tenant_id: str
    merchant_id: str
    method: str
    accept_time: _timestamp_pb2.Timestamp
    outcome: bytes
    def __init__(self, operation_id: _Optional[str] = ..., schema_version: _Optional[int] = ..., tenant_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., method: _Optional[str] = ..., accept_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[bytes] = ...) -> None: ...
