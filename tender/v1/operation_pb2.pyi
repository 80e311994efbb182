import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tender.v1 import payment_pb2 as _payment_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Operation(_message.Message):
    __slots__ = ("id", "state", "accept_time", "decide_time", "method", "outcome")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Operation.State]
        STATE_PENDING: _ClassVar[Operation.State]
        STATE_DONE: _ClassVar[Operation.State]
        STATE_REFUSED: _ClassVar[Operation.State]
    STATE_UNSPECIFIED: Operation.State
    STATE_PENDING: Operation.State
    STATE_DONE: Operation.State
    STATE_REFUSED: Operation.State
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_TIME_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: Operation.State
    accept_time: _timestamp_pb2.Timestamp
    decide_time: _timestamp_pb2.Timestamp
    method: str
    outcome: _payment_pb2.PaymentOutcome
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[Operation.State, str]] = ..., accept_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decide_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., method: _Optional[str] = ..., outcome: _Optional[_Union[_payment_pb2.PaymentOutcome, _Mapping]] = ...) -> None: ...

class SubmitPaymentRequest(_message.Message):
    __slots__ = ("command",)
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    command: _payment_pb2.PaymentCommand
    def __init__(self, command: _Optional[_Union[_payment_pb2.PaymentCommand, _Mapping]] = ...) -> None: ...

class SubmitPaymentResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class GetOperationRequest(_message.Message):
    __slots__ = ("operation_id",)
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    def __init__(self, operation_id: _Optional[str] = ...) -> None: ...

class GetOperationResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class CommandOutcome(_message.Message):
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
    outcome: _payment_pb2.PaymentOutcome
    def __init__(self, operation_id: _Optional[str] = ..., schema_version: _Optional[int] = ..., tenant_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., method: _Optional[str] = ..., accept_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[_Union[_payment_pb2.PaymentOutcome, _Mapping]] = ...) -> None: ...
