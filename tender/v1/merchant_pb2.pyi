import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tender.v1 import as_of_pb2 as _as_of_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeeRefundPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEE_REFUND_POLICY_UNSPECIFIED: _ClassVar[FeeRefundPolicy]
    FEE_REFUND_POLICY_KEEP: _ClassVar[FeeRefundPolicy]
    FEE_REFUND_POLICY_RETURN: _ClassVar[FeeRefundPolicy]
FEE_REFUND_POLICY_UNSPECIFIED: FeeRefundPolicy
FEE_REFUND_POLICY_KEEP: FeeRefundPolicy
FEE_REFUND_POLICY_RETURN: FeeRefundPolicy

class FeeSchedule(_message.Message):
    __slots__ = ("basis_points", "fixed_minor_units", "refund_policy")
    BASIS_POINTS_FIELD_NUMBER: _ClassVar[int]
    FIXED_MINOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    REFUND_POLICY_FIELD_NUMBER: _ClassVar[int]
    basis_points: int
    fixed_minor_units: int
    refund_policy: FeeRefundPolicy
    def __init__(self, basis_points: _Optional[int] = ..., fixed_minor_units: _Optional[int] = ..., refund_policy: _Optional[_Union[FeeRefundPolicy, str]] = ...) -> None: ...

class SettlementTerms(_message.Message):
    __slots__ = ("currency_code", "account_id", "fee_schedule")
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    FEE_SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    currency_code: str
    account_id: str
    fee_schedule: FeeSchedule
    def __init__(self, currency_code: _Optional[str] = ..., account_id: _Optional[str] = ..., fee_schedule: _Optional[_Union[FeeSchedule, _Mapping]] = ...) -> None: ...

class Merchant(_message.Message):
    __slots__ = ("id", "reference", "display_name", "state", "settlement_terms", "create_time", "update_time", "version")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Merchant.State]
        STATE_ACTIVE: _ClassVar[Merchant.State]
        STATE_SUSPENDED: _ClassVar[Merchant.State]
    STATE_UNSPECIFIED: Merchant.State
    STATE_ACTIVE: Merchant.State
    STATE_SUSPENDED: Merchant.State
    ID_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_TERMS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    reference: str
    display_name: str
    state: Merchant.State
    settlement_terms: _containers.RepeatedCompositeFieldContainer[SettlementTerms]
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    version: int
    def __init__(self, id: _Optional[str] = ..., reference: _Optional[str] = ..., display_name: _Optional[str] = ..., state: _Optional[_Union[Merchant.State, str]] = ..., settlement_terms: _Optional[_Iterable[_Union[SettlementTerms, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class CreateMerchantRequest(_message.Message):
    __slots__ = ("request_id", "reference", "display_name", "settlement_terms", "region")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_TERMS_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    reference: str
    display_name: str
    settlement_terms: _containers.RepeatedCompositeFieldContainer[SettlementTerms]
    region: str
    def __init__(self, request_id: _Optional[str] = ..., reference: _Optional[str] = ..., display_name: _Optional[str] = ..., settlement_terms: _Optional[_Iterable[_Union[SettlementTerms, _Mapping]]] = ..., region: _Optional[str] = ...) -> None: ...

class CreateMerchantResponse(_message.Message):
    __slots__ = ("merchant", "read_token")
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    merchant: Merchant
    read_token: str
    def __init__(self, merchant: _Optional[_Union[Merchant, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class GetMerchantRequest(_message.Message):
    __slots__ = ("merchant_id", "read_token")
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    merchant_id: str
    read_token: str
    def __init__(self, merchant_id: _Optional[str] = ..., read_token: _Optional[str] = ...) -> None: ...

class GetMerchantResponse(_message.Message):
    __slots__ = ("merchant", "read_token", "as_of")
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    merchant: Merchant
    read_token: str
    as_of: _containers.RepeatedCompositeFieldContainer[_as_of_pb2.AsOf]
    def __init__(self, merchant: _Optional[_Union[Merchant, _Mapping]] = ..., read_token: _Optional[str] = ..., as_of: _Optional[_Iterable[_Union[_as_of_pb2.AsOf, _Mapping]]] = ...) -> None: ...

class UpdateMerchantRequest(_message.Message):
    __slots__ = ("request_id", "merchant", "update_mask")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    merchant: Merchant
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, request_id: _Optional[str] = ..., merchant: _Optional[_Union[Merchant, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateMerchantResponse(_message.Message):
    __slots__ = ("merchant", "read_token")
    MERCHANT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    merchant: Merchant
    read_token: str
    def __init__(self, merchant: _Optional[_Union[Merchant, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...
