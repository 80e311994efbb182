import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tender.v1 import as_of_pb2 as _as_of_pb2
from tender.v1 import money_pb2 as _money_pb2
from tender.v1 import payment_pb2 as _payment_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Account(_message.Message):
    __slots__ = ("id", "user_id", "kind", "currency_code", "state", "posted", "held", "available", "floor", "create_time", "update_time", "version")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Account.Kind]
        KIND_CONSUMER_WALLET: _ClassVar[Account.Kind]
        KIND_MERCHANT_WALLET: _ClassVar[Account.Kind]
        KIND_FEES: _ClassVar[Account.Kind]
        KIND_CLEARING: _ClassVar[Account.Kind]
        KIND_ACQUIRER_SETTLEMENT: _ClassVar[Account.Kind]
        KIND_FX_POSITION: _ClassVar[Account.Kind]
        KIND_SUSPENSE: _ClassVar[Account.Kind]
        KIND_WORLD: _ClassVar[Account.Kind]
    KIND_UNSPECIFIED: Account.Kind
    KIND_CONSUMER_WALLET: Account.Kind
    KIND_MERCHANT_WALLET: Account.Kind
    KIND_FEES: Account.Kind
    KIND_CLEARING: Account.Kind
    KIND_ACQUIRER_SETTLEMENT: Account.Kind
    KIND_FX_POSITION: Account.Kind
    KIND_SUSPENSE: Account.Kind
    KIND_WORLD: Account.Kind
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Account.State]
        STATE_OPEN: _ClassVar[Account.State]
        STATE_FROZEN: _ClassVar[Account.State]
        STATE_CLOSED: _ClassVar[Account.State]
    STATE_UNSPECIFIED: Account.State
    STATE_OPEN: Account.State
    STATE_FROZEN: Account.State
    STATE_CLOSED: Account.State
    ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    POSTED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    user_id: str
    kind: Account.Kind
    currency_code: str
    state: Account.State
    posted: _money_pb2.Money
    held: _money_pb2.Money
    available: _money_pb2.Money
    floor: _money_pb2.Money
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    version: int
    def __init__(self, id: _Optional[str] = ..., user_id: _Optional[str] = ..., kind: _Optional[_Union[Account.Kind, str]] = ..., currency_code: _Optional[str] = ..., state: _Optional[_Union[Account.State, str]] = ..., posted: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., held: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., available: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., floor: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class Transfer(_message.Message):
    __slots__ = ("id", "source_account_id", "destination_account_id", "amount", "reason", "state", "decline_reason", "payment_id", "create_time", "description", "remote_account_id")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Transfer.Reason]
        REASON_CAPTURE: _ClassVar[Transfer.Reason]
        REASON_FEE: _ClassVar[Transfer.Reason]
        REASON_REFUND: _ClassVar[Transfer.Reason]
        REASON_FEE_REFUND: _ClassVar[Transfer.Reason]
        REASON_TOP_UP: _ClassVar[Transfer.Reason]
        REASON_PAYOUT: _ClassVar[Transfer.Reason]
        REASON_PERSON_TO_PERSON: _ClassVar[Transfer.Reason]
        REASON_BUCKET_MOVE: _ClassVar[Transfer.Reason]
    REASON_UNSPECIFIED: Transfer.Reason
    REASON_CAPTURE: Transfer.Reason
    REASON_FEE: Transfer.Reason
    REASON_REFUND: Transfer.Reason
    REASON_FEE_REFUND: Transfer.Reason
    REASON_TOP_UP: Transfer.Reason
    REASON_PAYOUT: Transfer.Reason
    REASON_PERSON_TO_PERSON: Transfer.Reason
    REASON_BUCKET_MOVE: Transfer.Reason
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Transfer.State]
        STATE_POSTED: _ClassVar[Transfer.State]
        STATE_DECLINED: _ClassVar[Transfer.State]
    STATE_UNSPECIFIED: Transfer.State
    STATE_POSTED: Transfer.State
    STATE_DECLINED: Transfer.State
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DECLINE_REASON_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REMOTE_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    source_account_id: str
    destination_account_id: str
    amount: _money_pb2.Money
    reason: Transfer.Reason
    state: Transfer.State
    decline_reason: _payment_pb2.DeclineReason
    payment_id: str
    create_time: _timestamp_pb2.Timestamp
    description: str
    remote_account_id: str
    def __init__(self, id: _Optional[str] = ..., source_account_id: _Optional[str] = ..., destination_account_id: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., reason: _Optional[_Union[Transfer.Reason, str]] = ..., state: _Optional[_Union[Transfer.State, str]] = ..., decline_reason: _Optional[_Union[_payment_pb2.DeclineReason, str]] = ..., payment_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., description: _Optional[str] = ..., remote_account_id: _Optional[str] = ...) -> None: ...

class CreateAccountRequest(_message.Message):
    __slots__ = ("request_id", "user_id", "kind", "currency_code", "floor_minor_units", "region")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    FLOOR_MINOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user_id: str
    kind: Account.Kind
    currency_code: str
    floor_minor_units: int
    region: str
    def __init__(self, request_id: _Optional[str] = ..., user_id: _Optional[str] = ..., kind: _Optional[_Union[Account.Kind, str]] = ..., currency_code: _Optional[str] = ..., floor_minor_units: _Optional[int] = ..., region: _Optional[str] = ...) -> None: ...

class CreateAccountResponse(_message.Message):
    __slots__ = ("account", "read_token")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account: Account
    read_token: str
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class GetAccountRequest(_message.Message):
    __slots__ = ("account_id", "read_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    read_token: str
    def __init__(self, account_id: _Optional[str] = ..., read_token: _Optional[str] = ...) -> None: ...

class GetAccountResponse(_message.Message):
    __slots__ = ("account", "read_token", "as_of")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    account: Account
    read_token: str
    as_of: _containers.RepeatedCompositeFieldContainer[_as_of_pb2.AsOf]
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ..., read_token: _Optional[str] = ..., as_of: _Optional[_Iterable[_Union[_as_of_pb2.AsOf, _Mapping]]] = ...) -> None: ...

class ListAccountsRequest(_message.Message):
    __slots__ = ("user_id", "page_size", "page_token", "read_token")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    page_size: int
    page_token: str
    read_token: str
    def __init__(self, user_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., read_token: _Optional[str] = ...) -> None: ...

class ListAccountsResponse(_message.Message):
    __slots__ = ("accounts", "next_page_token", "read_token", "as_of")
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[Account]
    next_page_token: str
    read_token: str
    as_of: _containers.RepeatedCompositeFieldContainer[_as_of_pb2.AsOf]
    def __init__(self, accounts: _Optional[_Iterable[_Union[Account, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., read_token: _Optional[str] = ..., as_of: _Optional[_Iterable[_Union[_as_of_pb2.AsOf, _Mapping]]] = ...) -> None: ...

class FreezeAccountRequest(_message.Message):
    __slots__ = ("request_id", "account_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account_id: str
    def __init__(self, request_id: _Optional[str] = ..., account_id: _Optional[str] = ...) -> None: ...

class FreezeAccountResponse(_message.Message):
    __slots__ = ("account", "read_token")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account: Account
    read_token: str
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class UnfreezeAccountRequest(_message.Message):
    __slots__ = ("request_id", "account_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account_id: str
    def __init__(self, request_id: _Optional[str] = ..., account_id: _Optional[str] = ...) -> None: ...

class UnfreezeAccountResponse(_message.Message):
    __slots__ = ("account", "read_token")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account: Account
    read_token: str
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class CloseAccountRequest(_message.Message):
    __slots__ = ("request_id", "account_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    account_id: str
    def __init__(self, request_id: _Optional[str] = ..., account_id: _Optional[str] = ...) -> None: ...

class CloseAccountResponse(_message.Message):
    __slots__ = ("account", "read_token")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account: Account
    read_token: str
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class CreateTransferRequest(_message.Message):
    __slots__ = ("request_id", "source_account_id", "destination_account_id", "amount", "description")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    source_account_id: str
    destination_account_id: str
    amount: _money_pb2.Money
    description: str
    def __init__(self, request_id: _Optional[str] = ..., source_account_id: _Optional[str] = ..., destination_account_id: _Optional[str] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., description: _Optional[str] = ...) -> None: ...

class CreateTransferResponse(_message.Message):
    __slots__ = ("transfer", "read_token")
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    transfer: Transfer
    read_token: str
    def __init__(self, transfer: _Optional[_Union[Transfer, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class ListTransfersRequest(_message.Message):
    __slots__ = ("account_id", "page_size", "page_token", "read_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    page_size: int
    page_token: str
    read_token: str
    def __init__(self, account_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., read_token: _Optional[str] = ...) -> None: ...

class ListTransfersResponse(_message.Message):
    __slots__ = ("transfers", "next_page_token", "read_token", "as_of")
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    transfers: _containers.RepeatedCompositeFieldContainer[Transfer]
    next_page_token: str
    read_token: str
    as_of: _containers.RepeatedCompositeFieldContainer[_as_of_pb2.AsOf]
    def __init__(self, transfers: _Optional[_Iterable[_Union[Transfer, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., read_token: _Optional[str] = ..., as_of: _Optional[_Iterable[_Union[_as_of_pb2.AsOf, _Mapping]]] = ...) -> None: ...

class GetBalanceAtRequest(_message.Message):
    __slots__ = ("account_id", "time", "read_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    time: _timestamp_pb2.Timestamp
    read_token: str
    def __init__(self, account_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., read_token: _Optional[str] = ...) -> None: ...

class GetBalanceAtResponse(_message.Message):
    __slots__ = ("posted", "read_token", "as_of")
    POSTED_FIELD_NUMBER: _ClassVar[int]
    READ_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    posted: _money_pb2.Money
    read_token: str
    as_of: _containers.RepeatedCompositeFieldContainer[_as_of_pb2.AsOf]
    def __init__(self, posted: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., read_token: _Optional[str] = ..., as_of: _Optional[_Iterable[_Union[_as_of_pb2.AsOf, _Mapping]]] = ...) -> None: ...
