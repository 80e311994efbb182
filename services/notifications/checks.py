"""What a valid request is: each check returns what is meant, and notes what is wrong."""

import functools
import re
from collections.abc import Callable, Set
from datetime import time
from typing import Final
from zoneinfo import available_timezones

from kit import card_numbers
from services.calls import Problem, Refused
from services.notifications import addresses, engine, languages, requests
from services.notifications.contacts import Contact, preference_key
from services.notifications.facts import amount_of
from services.notifications.kinds import BY_TYPE, Channel, is_type
from services.notifications.samples import Sample
from services.notifications.templates import Parts, Template
from tender.v1 import notification_pb2

PREFERENCES_MAX: Final = 100
PAGE_SIZE_MAX: Final = 200
PAGE_SIZE_DEFAULT: Final = 50
REQUEST_ID_BYTES_MAX: Final = 255
ID_LENGTH_MAX: Final = 300

_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class Problems:
    """What was found wrong in a request."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def note(self, field: str, description: str) -> None:
        """Note a field that is not valid; the text does not repeat it."""
        self._found.append(Problem(field, description))

    def refuse_if_any(self) -> None:
        """Raise Refused with all of them."""
        if self._found:
            raise Refused("FIELD_INVALID", problems=tuple(self._found))


def user_id(text: str, field: str, problems: Problems) -> str:
    """Return who it is about."""
    if not requests.is_name(text):
        problems.note(field, f"is not 1 to {requests.NAME_LENGTH_MAX} printable characters")
    elif card_numbers.looks_like_one(text):
        problems.note(field, "could be a card number")
    return text


def contact(tenant_id: str, given: notification_pb2.NotificationContact) -> Contact:
    """Return the contact of a request. Raises Refused."""
    problems = Problems()
    quiet_from = _clock(given.quiet_from, "contact.quiet_from", problems)
    quiet_until = _clock(given.quiet_until, "contact.quiet_until", problems)
    if bool(given.quiet_from) != bool(given.quiet_until):
        problems.note("contact.quiet_until", "is set if and only if quiet_from is")
    elif quiet_from is not None and quiet_from == quiet_until:
        problems.note("contact.quiet_until", "is the same as quiet_from")
    found = Contact(
        tenant_id,
        user_id(given.user_id, "contact.user_id", problems),
        _address(given.email_address, "contact.email_address", addresses.email, problems),
        _address(given.phone_number, "contact.phone_number", addresses.phone, problems),
        _address(given.push_token, "contact.push_token", addresses.push_token, problems),
        language(given.language or languages.DEFAULT, "contact.language", problems),
        _zone(given.time_zone or "UTC", problems),
        quiet_from,
        quiet_until,
        _preferences(given, problems),
    )
    problems.refuse_if_any()
    return found


def template(given: notification_pb2.NotificationTemplate) -> Template:
    """Return the template of a request, not tried yet. Raises Refused."""
    problems = Problems()
    kind = channel(given.channel, "template.channel", problems)
    type_name = message_type(given.type, "template.type", problems)
    for name in ("subject", "text", "html"):
        if len(getattr(given, name)) > engine.SOURCE_LENGTH_MAX:
            problems.note(f"template.{name}", f"is longer than {engine.SOURCE_LENGTH_MAX}")
        if "\0" in getattr(given, name):
            problems.note(f"template.{name}", "holds a zero byte")
    if not given.text:
        problems.note("template.text", "is missing")
    if kind is Channel.SMS and given.subject:
        problems.note("template.subject", "a text message has none")
    if kind is not Channel.EMAIL and given.html:
        problems.note("template.html", "is of e-mails alone")
    if (given.sample_texts or given.sample_amounts) and type_name in BY_TYPE:
        problems.note("template.sample_texts", "messages about payments have samples of their own")
    values_problem = requests.values_problem(given.sample_texts, given.sample_amounts)
    if values_problem:
        problems.note("template.sample_texts", values_problem)
    tag = language(given.language, "template.language", problems)
    problems.refuse_if_any()
    sample = Sample(
        dict(given.sample_texts),
        {name: amount_of(it) for name, it in given.sample_amounts.items()},
    )
    return Template(type_name, kind, tag, 0, Parts(given.subject, given.text, given.html), sample)


def channel(
    number: notification_pb2.NotificationChannel, field: str, problems: Problems
) -> Channel:
    """Return a channel."""
    found = requests.CHANNELS.get(number)
    if found is None:
        problems.note(field, "is missing, or not known")
    return found or Channel.EMAIL


def message_type(text: str, field: str, problems: Problems) -> str:
    """Return a type of message."""
    if not is_type(text):
        problems.note(field, "is no type about payments, and not 1 to 64 of a-z, 0-9 and _")
    return text


def language(tag: str, field: str, problems: Problems) -> str:
    """Return a language as it is usually written."""
    found = languages.normal(tag)
    if found is None:
        problems.note(field, 'is not like "de" or "de-AT"')
    return found or ""


def page_size(number: int) -> int:
    """Return how many are wanted. Raises Refused."""
    if not 0 <= number <= PAGE_SIZE_MAX:
        problems = Problems()
        problems.note("page_size", f"is not 0 to {PAGE_SIZE_MAX}")
        problems.refuse_if_any()
    return number or PAGE_SIZE_DEFAULT


def filter_text(text: str, field: str, problems: Problems) -> str:
    """Return a filter that is empty or may fit something."""
    if len(text) > ID_LENGTH_MAX or not text.isprintable():
        problems.note(field, "is none that there could be")
    return text


def request_id(text: str, problems: Problems) -> str:
    """Return the caller's name of a request."""
    if not 0 < len(text.encode()) <= REQUEST_ID_BYTES_MAX or not text.isprintable():
        problems.note("request_id", f"is not 1 to {REQUEST_ID_BYTES_MAX} bytes of printable text")
    return text


def _address(text: str, field: str, normal: Callable[[str], str], problems: Problems) -> str:
    if not text:
        return ""
    try:
        return normal(text)
    except addresses.BadAddress as bad:
        problems.note(field, str(bad))
        return ""


def _zone(text: str, problems: Problems) -> str:
    if text not in _zones():
        problems.note("contact.time_zone", 'is not an IANA name like "Europe/Vienna"')
    return text


@functools.cache
def _zones() -> Set[str]:
    # It reads folders.
    return frozenset(available_timezones())


def _clock(text: str, field: str, problems: Problems) -> time | None:
    if not text:
        return None
    if _CLOCK.fullmatch(text) is None:
        problems.note(field, 'is not like "22:00"')
        return None
    return time.fromisoformat(text)


def _preferences(
    given: notification_pb2.NotificationContact, problems: Problems
) -> dict[str, bool]:
    field = "contact.preferences"
    if len(given.preferences) > PREFERENCES_MAX:
        problems.note(field, f"are more than {PREFERENCES_MAX}")
        return {}
    found: dict[str, bool] = {}
    for place, preference in enumerate(given.preferences):
        here = f"{field}[{place}]"
        if preference.type:
            message_type(preference.type, f"{here}.type", problems)
        key = preference_key(
            preference.type, channel(preference.channel, f"{here}.channel", problems)
        )
        if key in found:
            problems.note(here, "is there twice")
        found[key] = preference.enabled
    return found
