"""Messages before they are sent: which ones an event makes, and under which ids."""

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from services.notifications import templates
from services.notifications.contacts import Contact
from services.notifications.engine import Broken, Reader
from services.notifications.kinds import Channel, Kind
from services.notifications.templates import Parts, Template

AGE_MAX: Final = timedelta(days=3)
"""Of a message that nobody said more about: later it would rather puzzle than help."""

TEMPLATE_MISSING: Final = "TEMPLATE_MISSING"
TEMPLATE_BROKEN: Final = "TEMPLATE_BROKEN"

Find = Callable[[str, str, Channel, str], Template | None]
"""Returns the newest template for a tenant, type, channel and language, with its fallbacks."""


class NoTemplate(Exception):
    """A message cannot be written; `cause` is TEMPLATE_MISSING or TEMPLATE_BROKEN."""

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause
        self.text = text


@dataclass(frozen=True, slots=True)
class Matter:
    """What somebody is to be told."""

    tenant_id: str
    user_id: str
    event_id: str
    kind: Kind
    values: Mapping[str, Any]
    created_at: datetime
    expires_at: datetime | None = None
    channels: Sequence[Channel] = ()
    """All when empty."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it will be sent. Where to is looked up when it is."""

    notification_id: str
    tenant_id: str
    user_id: str
    event_id: str
    type: str
    channel: Channel
    language: str
    template_version: int
    urgent: bool
    parts: Parts
    next_try_at: datetime
    expires_at: datetime


def message_id(*names: str) -> str:
    """Return an id that is the same for the same message, however often it is made."""
    digest = hashlib.blake2b("\0".join(names).encode(), digest_size=16).hexdigest()
    return f"ntf_{digest}"


def written(
    matter: Matter, contact: Contact, available: Set[Channel], find: Find, now: datetime
) -> list[Message]:
    """Return the messages that tell somebody something, one per channel. Raises NoTemplate."""
    expires_at = matter.expires_at or matter.created_at + AGE_MAX
    if expires_at <= now:
        return []
    return [
        _written(matter, contact, channel, find, now, expires_at)
        for channel in contact.channels(matter.kind, matter.channels)
        if channel in available
    ]


def _written(
    matter: Matter,
    contact: Contact,
    channel: Channel,
    find: Find,
    now: datetime,
    expires_at: datetime,
) -> Message:
    kind = matter.kind
    template = find(matter.tenant_id, kind.type, channel, contact.language)
    what = f"{kind.type}, {channel}, {contact.language}"
    if template is None:
        raise NoTemplate(TEMPLATE_MISSING, f"there is no template for {what}")
    # Amounts and times as the words around them: not German dates in an English text.
    reader = Reader(_nearer(contact.language, template.language), contact.zone)
    try:
        parts = templates.fill_in(template.parts, channel, matter.values, reader)
    except Broken as broken:
        place = f"{what}, version {template.version}"
        raise NoTemplate(TEMPLATE_BROKEN, f"the template for {place}: {broken}") from None
    return Message(
        message_id(matter.tenant_id, matter.event_id, matter.user_id, kind.type, channel),
        matter.tenant_id,
        matter.user_id,
        matter.event_id,
        kind.type,
        channel,
        template.language,
        template.version,
        kind.urgent,
        parts,
        contact.send_after(kind, now),
        expires_at,
    )


def _nearer(wanted: str, found: str) -> str:
    """Return the wanted language if the found one is of the same: de-AT has its own amounts."""
    return wanted if wanted.partition("-")[0] == found.partition("-")[0] else found
