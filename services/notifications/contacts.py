"""Who is reached where, in which language, and what they want to hear of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from zoneinfo import ZoneInfo

from services.notifications import quiet
from services.notifications.kinds import Channel, Kind
from services.notifications.languages import DEFAULT


@dataclass(frozen=True, slots=True)
class Contact:
    """Where and how somebody is reached."""

    tenant_id: str
    user_id: str
    # Not in a repr, which may get into a log.
    email_address: str = field(default="", repr=False)
    phone_number: str = field(default="", repr=False)
    push_token: str = field(default="", repr=False)
    language: str = DEFAULT
    time_zone: str = "UTC"
    quiet_from: time | None = None
    quiet_until: time | None = None
    preferences: Mapping[str, bool] = field(default_factory=dict)
    """By `preference_key`."""

    @property
    def zone(self) -> ZoneInfo:
        """Of their clock."""
        return ZoneInfo(self.time_zone)

    def address(self, channel: Channel) -> str:
        """Return where they are reached on a channel; empty if they are not."""
        match channel:
            case Channel.EMAIL:
                return self.email_address
            case Channel.SMS:
                return self.phone_number
            case Channel.PUSH:
                return self.push_token

    def wants(self, kind: Kind, channel: Channel) -> bool:
        """Say whether they want messages of a type on a channel.

        What they said of the type and channel counts before what they said of the channel, and that
        before what the type does by itself.
        """
        for type_name in (kind.type, ""):
            said = self.preferences.get(preference_key(type_name, channel))
            if said is not None:
                return said
        return channel in kind.default

    def channels(self, kind: Kind, only: Sequence[Channel] = ()) -> list[Channel]:
        """Return where a message of a type is to be sent."""
        asked = only or tuple(Channel)
        return [it for it in Channel if it in asked and self.address(it) and self.wants(kind, it)]

    def send_after(self, kind: Kind, now: datetime) -> datetime:
        """Return when a message may be sent: now, or after the quiet hours."""
        if kind.urgent or self.quiet_from is None or self.quiet_until is None:
            return now
        return quiet.quiet_until(now, self.zone, self.quiet_from, self.quiet_until) or now


def preference_key(type_name: str, channel: Channel) -> str:
    """Return how a preference is stored; an empty type stands for all."""
    return f"{type_name}/{channel}"
