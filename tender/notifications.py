"""The calls of NotificationService."""

from collections.abc import Mapping

from tender.calls import Call, Method, chosen
from tender.v1 import money_pb2
from tender.v1 import notification_pb2 as pb

PUT_CONTACT = Method.of(
    "NotificationService/PutNotificationContact", pb.PutNotificationContactResponse
)
GET_CONTACT = Method.of(
    "NotificationService/GetNotificationContact", pb.GetNotificationContactResponse
)
DELETE_CONTACT = Method.of(
    "NotificationService/DeleteNotificationContact", pb.DeleteNotificationContactResponse
)
PUT_TEMPLATE = Method.of(
    "NotificationService/PutNotificationTemplate", pb.PutNotificationTemplateResponse
)
LIST_TEMPLATES = Method.of(
    "NotificationService/ListNotificationTemplates", pb.ListNotificationTemplatesResponse
)
PREVIEW_TEMPLATE = Method.of(
    "NotificationService/PreviewNotificationTemplate", pb.PreviewNotificationTemplateResponse
)
LIST = Method.of("NotificationService/ListNotifications", pb.ListNotificationsResponse)
RESEND = Method.of("NotificationService/ResendNotification", pb.ResendNotificationResponse)

NO_AMOUNTS: Mapping[str, money_pb2.Money] = {}
NO_TEXTS: Mapping[str, str] = {}


def put_contact(
    *, contact: pb.NotificationContact, timeout: float | None = None
) -> Call[pb.PutNotificationContactResponse]:
    """Sets where and how somebody is reached, in place of all that was set before."""
    return Call(PUT_CONTACT, pb.PutNotificationContactRequest(contact=contact), timeout)


def get_contact(
    *, user_id: str, timeout: float | None = None
) -> Call[pb.GetNotificationContactResponse]:
    """Returns where and how somebody is reached."""
    return Call(GET_CONTACT, pb.GetNotificationContactRequest(user_id=user_id), timeout)


def delete_contact(
    *, user_id: str, timeout: float | None = None
) -> Call[pb.DeleteNotificationContactResponse]:
    """Erases a contact and the text of all messages to it."""
    return Call(DELETE_CONTACT, pb.DeleteNotificationContactRequest(user_id=user_id), timeout)


def put_template(
    *,
    type: str,
    channel: pb.NotificationChannel,
    language: str,
    text: str,
    subject: str = "",
    html: str = "",
    sample_texts: Mapping[str, str] = NO_TEXTS,
    sample_amounts: Mapping[str, money_pb2.Money] = NO_AMOUNTS,
    timeout: float | None = None,
) -> Call[pb.PutNotificationTemplateResponse]:
    """Puts another version of a template, after it was tried on samples of its type."""
    template = pb.NotificationTemplate(
        type=type,
        channel=channel,
        language=language,
        subject=subject,
        text=text,
        html=html,
        sample_texts=sample_texts,
        sample_amounts=sample_amounts,
    )
    return Call(PUT_TEMPLATE, pb.PutNotificationTemplateRequest(template=template), timeout)


def templates_page(
    *,
    type: str = "",
    page_size: int = 0,
    page_token: str = "",
    timeout: float | None = None,
) -> Call[pb.ListNotificationTemplatesResponse]:
    """Returns a page of the newest versions of templates."""
    request = pb.ListNotificationTemplatesRequest(
        type=type, page_size=page_size, page_token=page_token
    )
    return Call(LIST_TEMPLATES, request, timeout)


def preview_template(
    *, template: pb.NotificationTemplate, timeout: float | None = None
) -> Call[pb.PreviewNotificationTemplateResponse]:
    """Returns what a template makes of a sample: the stored one, or this one if it has a text."""
    request = pb.PreviewNotificationTemplateRequest(template=template)
    return Call(PREVIEW_TEMPLATE, request, timeout)


def page(
    *,
    user_id: str = "",
    event_id: str = "",
    state: pb.Notification.State = pb.Notification.STATE_UNSPECIFIED,
    notification_id: str = "",
    page_size: int = 0,
    page_token: str = "",
    timeout: float | None = None,
) -> Call[pb.ListNotificationsResponse]:
    """Returns a page of messages, newest first."""
    request = pb.ListNotificationsRequest(
        user_id=user_id,
        event_id=event_id,
        state=state,
        notification_id=notification_id,
        page_size=page_size,
        page_token=page_token,
    )
    return Call(LIST, request, timeout)


def resend(
    *, notification_id: str, request_id: str | None = None, timeout: float | None = None
) -> Call[pb.ResendNotificationResponse]:
    """Sends a message again, as a new one."""
    key = chosen(request_id)
    request = pb.ResendNotificationRequest(request_id=key, notification_id=notification_id)
    return Call(RESEND, request, timeout, key)
