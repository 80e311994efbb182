"""Bulk commands that the lane had no room for: they wait here in their order and are sent again.

The lane takes no bulk command of a round in which it refused one (`ExecuteRequest.bulk_round`), so
whatever was sent behind a command that waits here comes to wait here too, and overtakes nothing.
"""

import math
import random
from typing import Final

HELD_MAX: Final = 4_000
"""Commands that wait; one more is told its refusal. Each counts against its stream's window."""

DELAY_SECONDS_MIN: Final = 0.05
DELAY_SECONDS_MAX: Final = 1.0
"""Between two rounds; the first delay is the lane's hint."""

CALM_SECONDS: Final = 2 * DELAY_SECONDS_MAX
"""After so long without a round, the first delay is the hint again."""

GROWTH: Final = 2.0
"""Of the delay with every round of which the lane took nothing."""

JITTER: Final = 0.5
"""Gateways that were refused at once do not come back at once."""

PROBE: Final = 32
"""Commands of a round beyond those that the lane is seen to finish between two rounds."""

FINISHED_SHARE: Final = 1.25
"""Of what the lane finished meanwhile goes into the next round: it keeps the lane busy, and what is
refused again costs less than what is carried out."""

TOLD_AHEAD_SECONDS: Final = 0.1
"""Before its deadline a command that still waits is told its refusal, while its caller listens."""


class Backlog:
    """Knows what waits, until when, and how much of it goes into the next round."""

    def __init__(self) -> None:
        # By correlation id, which is the order in which they came.
        self.held: set[int] = set()
        self.round = 1
        # The lane refused a command of this round, and so refuses all that follow.
        self.is_shut = False
        # Bulk commands that the lane carried out since the last round began.
        self.finished = 0
        self._due = 0.0
        self._first_delay = self._delay = DELAY_SECONDS_MIN
        self._released_at = -math.inf

    def hold(self, correlation_id: int, hint_seconds: float, now: float) -> bool:
        """Keep a command that the lane refused; false if there are too many already."""
        if not self.is_shut:
            self.is_shut = True
            self._first_delay = min(max(hint_seconds, DELAY_SECONDS_MIN), DELAY_SECONDS_MAX)
            if self.finished or now - self._released_at > CALM_SECONDS:
                self._delay = self._first_delay
            self._due = now + self._jittered()
        if len(self.held) >= HELD_MAX:
            return False
        self.held.add(correlation_id)
        return True

    def is_due(self, now: float, *, is_idle: bool = False) -> bool:
        """Say whether it is time for the next round.

        With `is_idle` the lane has answered all that it took; if it took any, it has room again.
        """
        return bool(self.held) and (now >= self._due or (is_idle and self.finished > 0))

    def release(self, now: float) -> list[int]:
        """Begin the next round: return what is sent with it, oldest first."""
        count = PROBE + int(self.finished * FINISHED_SHARE)
        released = sorted(self.held)[:count]
        self.held.difference_update(released)
        if self.is_shut:
            self.round += 1
            self.is_shut = False
        # Refusals come at once and outcomes later: only now it shows what the lane took.
        self._delay = (
            self._first_delay if self.finished else min(self._delay * GROWTH, DELAY_SECONDS_MAX)
        )
        self.finished = 0
        self._released_at = now
        self._due = now + self._jittered()
        return released

    def clear(self) -> None:
        """Forget all of it: it is sent again for another reason."""
        self.held.clear()
        self.round += 1
        self.is_shut = False

    def _jittered(self) -> float:
        return self._delay * random.uniform(1 - JITTER, 1)
