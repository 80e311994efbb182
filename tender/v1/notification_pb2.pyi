import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tender.v1 import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NotificationChannel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOTIFICATION_CHANNEL_UNSPECIFIED: _ClassVar[NotificationChannel]
    NOTIFICATION_CHANNEL_EMAIL: _ClassVar[NotificationChannel]
    NOTIFICATION_CHANNEL_SMS: _ClassVar[NotificationChannel]
    NOTIFICATION_CHANNEL_PUSH: _ClassVar[NotificationChannel]
NOTIFICATION_CHANNEL_UNSPECIFIED: NotificationChannel
NOTIFICATION_CHANNEL_EMAIL: NotificationChannel
NOTIFICATION_CHANNEL_SMS: NotificationChannel
NOTIFICATION_CHANNEL_PUSH: NotificationChannel

class NotificationRequest(_message.Message):
    __slots__ = ("id", "schema_version", "tenant_id", "user_id", "type", "create_time", "texts", "amounts", "urgent", "expire_time", "channels")
    class TextsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class AmountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _money_pb2.Money
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    AMOUNTS_FIELD_NUMBER: _ClassVar[int]
    URGENT_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    id: str
    schema_version: int
    tenant_id: str
    user_id: str
    type: str
    create_time: _timestamp_pb2.Timestamp
    texts: _containers.ScalarMap[str, str]
    amounts: _containers.MessageMap[str, _money_pb2.Money]
    urgent: bool
    expire_time: _timestamp_pb2.Timestamp
    channels: _containers.RepeatedScalarFieldContainer[NotificationChannel]
    def __init__(self, id: _Optional[str] = ..., schema_version: _Optional[int] = ..., tenant_id: _Optional[str] = ..., user_id: _Optional[str] = ..., type: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., texts: _Optional[_Mapping[str, str]] = ..., amounts: _Optional[_Mapping[str, _money_pb2.Money]] = ..., urgent: bool = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., channels: _Optional[_Iterable[_Union[NotificationChannel, str]]] = ...) -> None: ...

class NotificationPreference(_message.Message):
    __slots__ = ("type", "channel", "enabled")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    type: str
    channel: NotificationChannel
    enabled: bool
    def __init__(self, type: _Optional[str] = ..., channel: _Optional[_Union[NotificationChannel, str]] = ..., enabled: bool = ...) -> None: ...

class NotificationContact(_message.Message):
    __slots__ = ("user_id", "email_address", "phone_number", "push_token", "language", "time_zone", "quiet_from", "quiet_until", "preferences", "create_time", "update_time")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    PUSH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    QUIET_FROM_FIELD_NUMBER: _ClassVar[int]
    QUIET_UNTIL_FIELD_NUMBER: _ClassVar[int]
    PREFERENCES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    email_address: str
    phone_number: str
    push_token: str
    language: str
    time_zone: str
    quiet_from: str
    quiet_until: str
    preferences: _containers.RepeatedCompositeFieldContainer[NotificationPreference]
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, user_id: _Optional[str] = ..., email_address: _Optional[str] = ..., phone_number: _Optional[str] = ..., push_token: _Optional[str] = ..., language: _Optional[str] = ..., time_zone: _Optional[str] = ..., quiet_from: _Optional[str] = ..., quiet_until: _Optional[str] = ..., preferences: _Optional[_Iterable[_Union[NotificationPreference, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NotificationTemplate(_message.Message):
    __slots__ = ("type", "channel", "language", "version", "subject", "text", "html", "built_in", "create_time", "sample_texts", "sample_amounts")
    class SampleTextsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SampleAmountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _money_pb2.Money
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_money_pb2.Money, _Mapping]] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HTML_FIELD_NUMBER: _ClassVar[int]
    BUILT_IN_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_TEXTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_AMOUNTS_FIELD_NUMBER: _ClassVar[int]
    type: str
    channel: NotificationChannel
    language: str
    version: int
    subject: str
    text: str
    html: str
    built_in: bool
    create_time: _timestamp_pb2.Timestamp
    sample_texts: _containers.ScalarMap[str, str]
    sample_amounts: _containers.MessageMap[str, _money_pb2.Money]
    def __init__(self, type: _Optional[str] = ..., channel: _Optional[_Union[NotificationChannel, str]] = ..., language: _Optional[str] = ..., version: _Optional[int] = ..., subject: _Optional[str] = ..., text: _Optional[str] = ..., html: _Optional[str] = ..., built_in: bool = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sample_texts: _Optional[_Mapping[str, str]] = ..., sample_amounts: _Optional[_Mapping[str, _money_pb2.Money]] = ...) -> None: ...

class Notification(_message.Message):
    __slots__ = ("id", "user_id", "event_id", "type", "channel", "language", "template_version", "state", "tries", "problem", "masked_address", "provider_reference", "create_time", "next_try_time", "sent_time", "resent_from")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Notification.State]
        STATE_PENDING: _ClassVar[Notification.State]
        STATE_SENT: _ClassVar[Notification.State]
        STATE_FAILED: _ClassVar[Notification.State]
        STATE_CANCELLED: _ClassVar[Notification.State]
    STATE_UNSPECIFIED: Notification.State
    STATE_PENDING: Notification.State
    STATE_SENT: Notification.State
    STATE_FAILED: Notification.State
    STATE_CANCELLED: Notification.State
    ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRIES_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    MASKED_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    NEXT_TRY_TIME_FIELD_NUMBER: _ClassVar[int]
    SENT_TIME_FIELD_NUMBER: _ClassVar[int]
    RESENT_FROM_FIELD_NUMBER: _ClassVar[int]
    id: str
    user_id: str
    event_id: str
    type: str
    channel: NotificationChannel
    language: str
    template_version: int
    state: Notification.State
    tries: int
    problem: str
    masked_address: str
    provider_reference: str
    create_time: _timestamp_pb2.Timestamp
    next_try_time: _timestamp_pb2.Timestamp
    sent_time: _timestamp_pb2.Timestamp
    resent_from: str
    def __init__(self, id: _Optional[str] = ..., user_id: _Optional[str] = ..., event_id: _Optional[str] = ..., type: _Optional[str] = ..., channel: _Optional[_Union[NotificationChannel, str]] = ..., language: _Optional[str] = ..., template_version: _Optional[int] = ..., state: _Optional[_Union[Notification.State, str]] = ..., tries: _Optional[int] = ..., problem: _Optional[str] = ..., masked_address: _Optional[str] = ..., provider_reference: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_try_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sent_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resent_from: _Optional[str] = ...) -> None: ...

class PutNotificationContactRequest(_message.Message):
    __slots__ = ("contact",)
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    contact: NotificationContact
    def __init__(self, contact: _Optional[_Union[NotificationContact, _Mapping]] = ...) -> None: ...

class PutNotificationContactResponse(_message.Message):
    __slots__ = ("contact",)
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    contact: NotificationContact
    def __init__(self, contact: _Optional[_Union[NotificationContact, _Mapping]] = ...) -> None: ...

class GetNotificationContactRequest(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class GetNotificationContactResponse(_message.Message):
    __slots__ = ("contact",)
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    contact: NotificationContact
    def __init__(self, contact: _Optional[_Union[NotificationContact, _Mapping]] = ...) -> None: ...

class DeleteNotificationContactRequest(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class DeleteNotificationContactResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PutNotificationTemplateRequest(_message.Message):
    __slots__ = ("template",)
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    template: NotificationTemplate
    def __init__(self, template: _Optional[_Union[NotificationTemplate, _Mapping]] = ...) -> None: ...

class PutNotificationTemplateResponse(_message.Message):
    __slots__ = ("template",)
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    template: NotificationTemplate
    def __init__(self, template: _Optional[_Union[NotificationTemplate, _Mapping]] = ...) -> None: ...

class ListNotificationTemplatesRequest(_message.Message):
    __slots__ = ("type", "page_size", "page_token")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    type: str
    page_size: int
    page_token: str
    def __init__(self, type: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListNotificationTemplatesResponse(_message.Message):
    __slots__ = ("templates", "next_page_token")
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    templates: _containers.RepeatedCompositeFieldContainer[NotificationTemplate]
    next_page_token: str
    def __init__(self, templates: _Optional[_Iterable[_Union[NotificationTemplate, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PreviewNotificationTemplateRequest(_message.Message):
    __slots__ = ("template",)
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    template: NotificationTemplate
    def __init__(self, template: _Optional[_Union[NotificationTemplate, _Mapping]] = ...) -> None: ...

class PreviewNotificationTemplateResponse(_message.Message):
    __slots__ = ("template", "subject", "text", "html")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HTML_FIELD_NUMBER: _ClassVar[int]
    template: NotificationTemplate
    subject: str
    text: str
    html: str
    def __init__(self, template: _Optional[_Union[NotificationTemplate, _Mapping]] = ..., subject: _Optional[str] = ..., text: _Optional[str] = ..., html: _Optional[str] = ...) -> None: ...

class ListNotificationsRequest(_message.Message):
    __slots__ = ("user_id", "event_id", "state", "page_size", "page_token", "notification_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NOTIFICATION_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    event_id: str
    state: Notification.State
    page_size: int
    page_token: str
    notification_id: str
    def __init__(self, user_id: _Optional[str] = ..., event_id: _Optional[str] = ..., state: _Optional[_Union[Notification.State, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., notification_id: _Optional[str] = ...) -> None: ...

class ListNotificationsResponse(_message.Message):
    __slots__ = ("notifications", "next_page_token")
    NOTIFICATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    notifications: _containers.RepeatedCompositeFieldContainer[Notification]
    next_page_token: str
    def __init__(self, notifications: _Optional[_Iterable[_Union[Notification, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ResendNotificationRequest(_message.Message):
    __slots__ = ("request_id", "notification_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NOTIFICATION_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    notification_id: str
    def __init__(self, request_id: _Optional[str] = ..., notification_id: _Optional[str] = ...) -> None: ...

class ResendNotificationResponse(_message.Message):
    __slots__ = ("notification",)
    NOTIFICATION_FIELD_NUMBER: _ClassVar[int]
    notification: Notification
    def __init__(self, notification: _Optional[_Union[Notification, _Mapping]] = ...) -> None: ...
