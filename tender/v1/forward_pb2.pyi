from tender.v1 import lane_pb2 as _lane_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CallRequest(_message.Message):
    __slots__ = ("method", "request", "principal")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    method: str
    request: bytes
    principal: _lane_pb2.Principal
    def __init__(self, method: _Optional[str] = ..., request: _Optional[bytes] = ..., principal: _Optional[_Union[_lane_pb2.Principal, _Mapping]] = ...) -> None: ...

class CallResponse(_message.Message):
    __slots__ = ("response", "refusal")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    response: bytes
    refusal: _lane_pb2.Refusal
    def __init__(self, response: _Optional[bytes] = ..., refusal: _Optional[_Union[_lane_pb2.Refusal, _Mapping]] = ...) -> None: ...
