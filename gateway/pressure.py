"""What the lane just had no room for is refused unread for a moment: a refusal costs it too.

The lane itself lets captures, voids, refunds and reversals in longer than authorizations (R19), so
each kind is refused here only after it was refused there, and reads with the authorizations.
"""

import random
from typing import Final

from tender.v1 import lane_pb2

AUTHORIZE: Final = lane_pb2.METHOD_AUTHORIZE_PAYMENT
SECONDS_MAX: Final = 0.25
"""However long the lane's hint is: then some calls try again, and show whether it has room."""

JITTER: Final = 0.5
"""The share of the hint that is left to chance: gateways do not open together."""


class Pressure:
    """Remembers until when the lane is taken to be full."""

    __slots__ = ("authorizations_until", "others_until")

    def __init__(self) -> None:
        self.authorizations_until = 0.0
        self.others_until = 0.0

    def note_full(self, method: int, hint_seconds: float, now: float) -> None:
        """The lane refused a single command of this kind."""
        until = now + min(hint_seconds, SECONDS_MAX) * random.uniform(1 - JITTER, 1)
        self.authorizations_until = max(self.authorizations_until, until)
        if method != AUTHORIZE:
            self.others_until = max(self.others_until, until)

    def refuses(self, method: int, now: float) -> bool:
        """Say whether a single command of this kind is refused now."""
        return now < (self.authorizations_until if method == AUTHORIZE else self.others_until)

    def refuses_reads(self, now: float) -> bool:
        """Say whether reads give way now."""
        return now < self.authorizations_until
