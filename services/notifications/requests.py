"""What other services ask for: reads it, and refuses what is no request."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from kit import card_numbers, currencies
from processor.consumers.delivery import (
    MALFORMED,
    SCHEMA_HEADER,
    UNKNOWN_VERSION,
    Delivery,
    Readable,
    Unreadable,
)
from processor.consumers.handlers import Refused
from services.notifications import facts
from services.notifications.kinds import Channel, Kind, is_asked_for
from services.notifications.messages import Matter
from tender.v1 import money_pb2, notification_pb2

SCHEMA_VERSION: Final = 1
REQUEST_INVALID: Final = "REQUEST_INVALID"
VALUES_MAX: Final = 50
TEXT_LENGTH_MAX: Final = 1_000
NAME_LENGTH_MAX: Final = 128
AMOUNT_MAX: Final = 10**15

_ID: Final = re.compile(r"[A-Za-z0-9.:_-]{1,128}")
_VALUE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

CHANNELS: Final = {
    notification_pb2.NOTIFICATION_CHANNEL_EMAIL: Channel.EMAIL,
    notification_pb2.NOTIFICATION_CHANNEL_SMS: Channel.SMS,
    notification_pb2.NOTIFICATION_CHANNEL_PUSH: Channel.PUSH,
}

Request = notification_pb2.NotificationRequest


def read(delivery: Delivery) -> Readable[Request] | Unreadable:
    """Read a request of the version that is known here."""
    said = next((value for name, value in delivery.headers if name == SCHEMA_HEADER), None)
    if said is not None and said != b"%d" % SCHEMA_VERSION:
        return Unreadable(UNKNOWN_VERSION, "its schema version is not known here")
    if not delivery.value:
        return Unreadable(MALFORMED, "it is empty")
    request = Request()
    try:
        request.ParseFromString(delivery.value)
    except DecodeError:
        return Unreadable(MALFORMED, "its bytes are no tender.v1.NotificationRequest")
    if request.schema_version != SCHEMA_VERSION:
        return Unreadable(UNKNOWN_VERSION, "its schema version is not known here")
    if _ID.fullmatch(request.id) is None:
        return Unreadable(MALFORMED, "its id is missing, or is none")
    if not is_name(request.tenant_id) or len(request.tenant_id) > 100:
        return Unreadable(MALFORMED, "its tenant is missing, or is none")
    created_at = request.create_time.seconds + request.create_time.nanos / 1e9
    # A tenant has no "/" before the last one, as ids have none.
    return Readable(f"{request.tenant_id}/{request.id}", request, created_at)


def matter_of(request: Request) -> Matter:
    """Return what a request asks somebody to be told. Raises Refused."""
    problem = _problem(request)
    if problem:
        raise Refused(REQUEST_INVALID, problem)
    return Matter(
        request.tenant_id,
        request.user_id,
        request.id,
        Kind(request.type, request.urgent),
        facts.asked_for(request.texts, request.amounts),
        facts.moment(request.create_time),
        facts.moment(request.expire_time) if request.HasField("expire_time") else None,
        tuple(CHANNELS[it] for it in request.channels),
    )


def _problem(request: Request) -> str:
    """Return what is wrong with a request, in words that do not repeat it."""
    if not is_name(request.user_id):
        return f"its user_id is not 1 to {NAME_LENGTH_MAX} printable characters"
    if not is_asked_for(request.type):
        return "its type is none, or is one of payments"
    if not request.HasField("create_time") or not is_moment(request.create_time):
        return "its create_time is missing, or is none"
    if request.HasField("expire_time") and not is_moment(request.expire_time):
        return "its expire_time is none"
    if any(channel not in CHANNELS for channel in request.channels):
        return "one of its channels is not known here"
    return values_problem(request.texts, request.amounts)


def values_problem(texts: Mapping[str, str], amounts: Mapping[str, money_pb2.Money]) -> str:
    """Return what is wrong with what templates are to show; empty if nothing is."""
    if len(texts) > VALUES_MAX or len(amounts) > VALUES_MAX:
        return f"there are more than {VALUES_MAX} values"
    names = [*texts, *amounts]
    if any(_VALUE_NAME.fullmatch(name) is None for name in names):
        return 'a name of a value is not like "device_name"'
    if len(set(names)) < len(names):
        return "a text and an amount have the same name"
    for text in texts.values():
        if len(text) > TEXT_LENGTH_MAX:
            return f"a text is longer than {TEXT_LENGTH_MAX} characters"
        if any(unicodedata.category(it) == "Cc" and it not in "\n\t" for it in text):
            return "a text holds control characters"
        if card_numbers.looks_like_one(text):
            return "a text holds what could be a card number"
    if not all(is_amount(amount) for amount in amounts.values()):
        return "an amount has no active currency, or is beyond 10^15"
    return ""


def is_amount(amount: money_pb2.Money) -> bool:
    """Say whether it can be shown."""
    return amount.currency_code in currencies.EXPONENTS and abs(amount.minor_units) <= AMOUNT_MAX


def is_name(text: str) -> bool:
    """Say whether a text may name a user or a tenant."""
    return 0 < len(text) <= NAME_LENGTH_MAX and text.isprintable()


def is_moment(at: Timestamp) -> bool:
    """Say whether a time is one that calendars know."""
    return -62_135_596_800 <= at.seconds <= 253_402_300_799 and 0 <= at.nanos < 1_000_000_000
