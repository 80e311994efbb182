"""What senders get, and say."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.notifications.outcomes import Outcome
from services.notifications.templates import Parts


@dataclass(frozen=True, slots=True, repr=False)
class Sendable:
    """A message with the address it goes to; without a repr, for it must not be logged."""

    notification_id: str
    address: str
    language: str
    parts: Parts
    created_at: datetime


class Sender(Protocol):
    """Gives messages of one channel to whoever delivers them."""

    async def send(self, sendable: Sendable) -> Outcome:
        """Send one and say what came of it; raises nothing that concerns the other side."""

    async def close(self) -> None:
        """Close what is kept open."""
