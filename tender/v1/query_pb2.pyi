from tender.v1 import lane_pb2 as _lane_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReadRequest(_message.Message):
    __slots__ = ("method", "request", "principal", "shard", "before", "read_token")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    method: _lane_pb2.Method
    request: bytes
    principal: _lane_pb2.Principal
    shard: str
    before: str
    read_token: str
    def __init__(self, method: _Optional[_Union[_lane_pb2.Method, str]] = ..., request: _Optional[bytes] = ..., principal: _Optional[_Union[_lane_pb2.Principal, _Mapping]] = ..., shard: _Optional[str] = ..., before: _Optional[str] = ..., read_token: _Optional[str] = ...) -> None: ...

class ReadResponse(_message.Message):
    __slots__ = ("response", "refusal")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    response: bytes
    refusal: _lane_pb2.Refusal
    def __init__(self, response: _Optional[bytes] = ..., refusal: _Optional[_Union[_lane_pb2.Refusal, _Mapping]] = ...) -> None: ...

class GetApiKeyRequest(_message.Message):
    __slots__ = ("key_id",)
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    def __init__(self, key_id: _Optional[str] = ...) -> None: ...

class GetApiKeyResponse(_message.Message):
    __slots__ = ("secret_hash", "tenant_id", "scopes", "merchant_id")
    SECRET_HASH_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    secret_hash: bytes
    tenant_id: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    merchant_id: str
    def __init__(self, secret_hash: _Optional[bytes] = ..., tenant_id: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., merchant_id: _Optional[str] = ...) -> None: ...
