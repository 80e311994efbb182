"""What callers get to see of contacts, templates and messages."""

from datetime import datetime, time
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from services.notifications import contact_store, template_store
from services.notifications.contacts import Contact
from services.notifications.kinds import Channel
from services.notifications.log_store import Entry
from services.notifications.money import Amount
from services.notifications.requests import CHANNELS
from tender.v1 import money_pb2, notification_pb2

Notification = notification_pb2.Notification

NUMBERS: Final = {channel: number for number, channel in CHANNELS.items()}
STATES: Final = {
    "pending": Notification.STATE_PENDING,
    "sent": Notification.STATE_SENT,
    "failed": Notification.STATE_FAILED,
    "cancelled": Notification.STATE_CANCELLED,
}


def contact(stored: contact_store.Stored) -> notification_pb2.NotificationContact:
    """Return a contact as its owner set it."""
    it = stored.contact
    return notification_pb2.NotificationContact(
        user_id=it.user_id,
        email_address=it.email_address,
        phone_number=it.phone_number,
        push_token=it.push_token,
        language=it.language,
        time_zone=it.time_zone,
        quiet_from=_clock(it.quiet_from),
        quiet_until=_clock(it.quiet_until),
        preferences=_preferences(it),
        create_time=_timestamp(stored.created_at),
        update_time=_timestamp(stored.updated_at),
    )


def template(stored: template_store.Stored) -> notification_pb2.NotificationTemplate:
    """Return a template."""
    it = stored.template
    return notification_pb2.NotificationTemplate(
        type=it.type,
        channel=NUMBERS[it.channel],
        language=it.language,
        version=it.version,
        subject=it.parts.subject,
        text=it.parts.text,
        html=it.parts.html,
        built_in=it.built_in,
        create_time=_timestamp(stored.created_at),
        sample_texts=it.sample.texts,
        sample_amounts={name: _money(amount) for name, amount in it.sample.amounts.items()},
    )


def notification(entry: Entry) -> Notification:
    """Return a message as the log has it."""
    is_pending = entry.state == "pending"
    return Notification(
        id=entry.notification_id,
        user_id=entry.user_id,
        event_id=entry.event_id,
        type=entry.type,
        channel=NUMBERS[entry.channel],
        language=entry.language,
        template_version=entry.template_version,
        state=STATES[entry.state],
        tries=entry.tries,
        problem=entry.problem,
        masked_address=entry.masked_address,
        provider_reference=entry.provider_reference,
        create_time=_timestamp(entry.created_at),
        next_try_time=_timestamp(entry.next_try_at) if is_pending else None,
        sent_time=_timestamp(entry.sent_at) if entry.sent_at else None,
        resent_from=entry.resent_from,
    )


def _preferences(it: Contact) -> list[notification_pb2.NotificationPreference]:
    found = []
    for key, enabled in sorted(it.preferences.items()):
        type_name, _, channel = key.rpartition("/")
        found.append(
            notification_pb2.NotificationPreference(
                type=type_name, channel=NUMBERS[Channel(channel)], enabled=enabled
            )
        )
    return found


def _money(amount: Amount) -> money_pb2.Money:
    return money_pb2.Money(currency_code=amount.currency_code, minor_units=amount.minor_units)


def _timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def _clock(at: time | None) -> str:
    return "" if at is None else at.strftime("%H:%M")
