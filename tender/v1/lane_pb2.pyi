from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Method(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METHOD_UNSPECIFIED: _ClassVar[Method]
    METHOD_AUTHORIZE_PAYMENT: _ClassVar[Method]
    METHOD_CAPTURE_PAYMENT: _ClassVar[Method]
    METHOD_VOID_PAYMENT: _ClassVar[Method]
    METHOD_REFUND_PAYMENT: _ClassVar[Method]
    METHOD_REVERSE_PAYMENT: _ClassVar[Method]
    METHOD_CREATE_ACCOUNT: _ClassVar[Method]
    METHOD_FREEZE_ACCOUNT: _ClassVar[Method]
    METHOD_UNFREEZE_ACCOUNT: _ClassVar[Method]
    METHOD_CLOSE_ACCOUNT: _ClassVar[Method]
    METHOD_CREATE_TRANSFER: _ClassVar[Method]
    METHOD_CREATE_MERCHANT: _ClassVar[Method]
    METHOD_UPDATE_MERCHANT: _ClassVar[Method]
    METHOD_GET_PAYMENT: _ClassVar[Method]
    METHOD_LIST_PAYMENTS: _ClassVar[Method]
    METHOD_GET_ACCOUNT: _ClassVar[Method]
    METHOD_LIST_ACCOUNTS: _ClassVar[Method]
    METHOD_LIST_TRANSFERS: _ClassVar[Method]
    METHOD_GET_BALANCE_AT: _ClassVar[Method]
    METHOD_GET_MERCHANT: _ClassVar[Method]
    METHOD_GET_REQUEST: _ClassVar[Method]

class RiskVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RISK_VERDICT_UNSPECIFIED: _ClassVar[RiskVerdict]
    RISK_VERDICT_ALLOW: _ClassVar[RiskVerdict]
    RISK_VERDICT_DENY: _ClassVar[RiskVerdict]
METHOD_UNSPECIFIED: Method
METHOD_AUTHORIZE_PAYMENT: Method
METHOD_CAPTURE_PAYMENT: Method
METHOD_VOID_PAYMENT: Method
METHOD_REFUND_PAYMENT: Method
METHOD_REVERSE_PAYMENT: Method
METHOD_CREATE_ACCOUNT: Method
METHOD_FREEZE_ACCOUNT: Method
METHOD_UNFREEZE_ACCOUNT: Method
METHOD_CLOSE_ACCOUNT: Method
METHOD_CREATE_TRANSFER: Method
METHOD_CREATE_MERCHANT: Method
METHOD_UPDATE_MERCHANT: Method
METHOD_GET_PAYMENT: Method
METHOD_LIST_PAYMENTS: Method
METHOD_GET_ACCOUNT: Method
METHOD_LIST_ACCOUNTS: Method
METHOD_LIST_TRANSFERS: Method
METHOD_GET_BALANCE_AT: Method
METHOD_GET_MERCHANT: Method
METHOD_GET_REQUEST: Method
RISK_VERDICT_UNSPECIFIED: RiskVerdict
RISK_VERDICT_ALLOW: RiskVerdict
RISK_VERDICT_DENY: RiskVerdict

class Principal(_message.Message):
    __slots__ = ("tenant_id", "merchant_id", "operator")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    merchant_id: str
    operator: bool
    def __init__(self, tenant_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., operator: bool = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("correlation_id", "method", "request", "principal", "timeout_ms", "risk_verdict", "bulk", "background")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    RISK_VERDICT_FIELD_NUMBER: _ClassVar[int]
    BULK_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    method: Method
    request: bytes
    principal: Principal
    timeout_ms: int
    risk_verdict: RiskVerdict
    bulk: bool
    background: bool
    def __init__(self, correlation_id: _Optional[int] = ..., method: _Optional[_Union[Method, str]] = ..., request: _Optional[bytes] = ..., principal: _Optional[_Union[Principal, _Mapping]] = ..., timeout_ms: _Optional[int] = ..., risk_verdict: _Optional[_Union[RiskVerdict, str]] = ..., bulk: bool = ..., background: bool = ...) -> None: ...

class FieldProblem(_message.Message):
    __slots__ = ("field", "description")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    field: str
    description: str
    def __init__(self, field: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("reason", "message", "metadata", "field_problems", "retry_delay_ms")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    FIELD_PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    metadata: _containers.ScalarMap[str, str]
    field_problems: _containers.RepeatedCompositeFieldContainer[FieldProblem]
    retry_delay_ms: int
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., field_problems: _Optional[_Iterable[_Union[FieldProblem, _Mapping]]] = ..., retry_delay_ms: _Optional[int] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("correlation_id", "response", "refusal", "replayed")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    response: bytes
    refusal: Refusal
    replayed: bool
    def __init__(self, correlation_id: _Optional[int] = ..., response: _Optional[bytes] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., replayed: bool = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("commands", "bulk_round")
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    BULK_ROUND_FIELD_NUMBER: _ClassVar[int]
    commands: _containers.RepeatedCompositeFieldContainer[Command]
    bulk_round: int
    def __init__(self, commands: _Optional[_Iterable[_Union[Command, _Mapping]]] = ..., bulk_round: _Optional[int] = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("outcomes", "incarnation")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    incarnation: str
    def __init__(self, outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ..., incarnation: _Optional[str] = ...) -> None: ...

class CarryRequest(_message.Message):
    __slots__ = ("source", "destination", "first_number", "legs")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    FIRST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    LEGS_FIELD_NUMBER: _ClassVar[int]
    source: str
    destination: str
    first_number: int
    legs: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, source: _Optional[str] = ..., destination: _Optional[str] = ..., first_number: _Optional[int] = ..., legs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class CarryResponse(_message.Message):
    __slots__ = ("position",)
    POSITION_FIELD_NUMBER: _ClassVar[int]
    position: int
    def __init__(self, position: _Optional[int] = ...) -> None: ...

class ReleaseBucketsRequest(_message.Message):
    __slots__ = ("shard", "first_bucket", "last_bucket", "destination", "position")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FIRST_BUCKET_FIELD_NUMBER: _ClassVar[int]
    LAST_BUCKET_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    shard: str
    first_bucket: int
    last_bucket: int
    destination: str
    position: str
    def __init__(self, shard: _Optional[str] = ..., first_bucket: _Optional[int] = ..., last_bucket: _Optional[int] = ..., destination: _Optional[str] = ..., position: _Optional[str] = ...) -> None: ...

class ReleaseBucketsResponse(_message.Message):
    __slots__ = ("inhabited",)
    INHABITED_FIELD_NUMBER: _ClassVar[int]
    inhabited: bool
    def __init__(self, inhabited: bool = ...) -> None: ...

class GetBucketsRequest(_message.Message):
    __slots__ = ("shard",)
    SHARD_FIELD_NUMBER: _ClassVar[int]
    shard: str
    def __init__(self, shard: _Optional[str] = ...) -> None: ...

class GetBucketsResponse(_message.Message):
    __slots__ = ("version", "region", "ranges")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    version: int
    region: str
    ranges: _containers.RepeatedCompositeFieldContainer[OwnedBuckets]
    def __init__(self, version: _Optional[int] = ..., region: _Optional[str] = ..., ranges: _Optional[_Iterable[_Union[OwnedBuckets, _Mapping]]] = ...) -> None: ...

class OwnedBuckets(_message.Message):
    __slots__ = ("first_bucket", "last_bucket", "state", "shard")
    FIRST_BUCKET_FIELD_NUMBER: _ClassVar[int]
    LAST_BUCKET_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    first_bucket: int
    last_bucket: int
    state: str
    shard: str
    def __init__(self, first_bucket: _Optional[int] = ..., last_bucket: _Optional[int] = ..., state: _Optional[str] = ..., shard: _Optional[str] = ...) -> None: ...

class CopyBucketRequest(_message.Message):
    __slots__ = ("shard", "bucket", "position")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    shard: str
    bucket: int
    position: str
    def __init__(self, shard: _Optional[str] = ..., bucket: _Optional[int] = ..., position: _Optional[str] = ...) -> None: ...

class CopyBucketResponse(_message.Message):
    __slots__ = ("page", "position", "head_seq", "seq", "rows")
    PAGE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQ_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    page: bytes
    position: str
    head_seq: int
    seq: int
    rows: int
    def __init__(self, page: _Optional[bytes] = ..., position: _Optional[str] = ..., head_seq: _Optional[int] = ..., seq: _Optional[int] = ..., rows: _Optional[int] = ...) -> None: ...

class TakeCopiesRequest(_message.Message):
    __slots__ = ("shard", "bucket", "page")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    shard: str
    bucket: int
    page: bytes
    def __init__(self, shard: _Optional[str] = ..., bucket: _Optional[int] = ..., page: _Optional[bytes] = ...) -> None: ...

class TakeCopiesResponse(_message.Message):
    __slots__ = ("position",)
    POSITION_FIELD_NUMBER: _ClassVar[int]
    position: str
    def __init__(self, position: _Optional[str] = ...) -> None: ...

class FreezeBucketRequest(_message.Message):
    __slots__ = ("shard", "bucket", "timeout_ms")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    shard: str
    bucket: int
    timeout_ms: int
    def __init__(self, shard: _Optional[str] = ..., bucket: _Optional[int] = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class FreezeBucketResponse(_message.Message):
    __slots__ = ("seq",)
    SEQ_FIELD_NUMBER: _ClassVar[int]
    seq: int
    def __init__(self, seq: _Optional[int] = ...) -> None: ...

class OpenPipeRequest(_message.Message):
    __slots__ = ("token", "shard")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    token: str
    shard: str
    def __init__(self, token: _Optional[str] = ..., shard: _Optional[str] = ...) -> None: ...

class OpenPipeResponse(_message.Message):
    __slots__ = ("refusal",)
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    refusal: str
    def __init__(self, refusal: _Optional[str] = ...) -> None: ...
