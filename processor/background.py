"""How many background commands a batch takes: all that fit while nobody else is there, else few.

A caller waits for two batches at most, the one under way and its own. Beside callers a batch takes
few background commands, and after it some time belongs to callers alone. That time is counted in
batches, so that the background gives way by itself where the machine is busy.
"""

from typing import Final

COMMANDS_BESIDE_MAX: Final = 50
"""In a batch while callers are about: a few milliseconds of deciding and applying. Fewer at a time
and more often delay callers more, for most of a small batch's cost is the batch's."""

PAUSE_SHARE: Final = 12.0
"""Beside callers no background command is taken for so many times what the last batch took that
had any, so that few of a hundred callers meet one."""

PAUSE_SECONDS_MAX: Final = 0.5
"""So that the background never stands still, however slow the disk."""

CALLERS_SECONDS: Final = 0.1
"""For so long after a caller's command the next one is expected."""


class Background:
    """Times in s of a monotonic clock."""

    def __init__(self) -> None:
        self._callers_until = 0.0
        self._paused_until = 0.0

    def caller_seen(self, now: float) -> None:
        """A caller's command was taken."""
        self._callers_until = now + CALLERS_SECONDS

    def room(self, taken: int, now: float) -> int | None:
        """Return how many more an open batch may take that has so many; None for all that fit."""
        if now >= self._callers_until:
            return None
        if now < self._paused_until:
            return 0
        return max(COMMANDS_BESIDE_MAX - taken, 0)

    def applied(self, taken: int, seconds: float, now: float) -> None:
        """A batch with so many background commands was applied in so many seconds."""
        if taken:
            self._paused_until = now + min(seconds * PAUSE_SHARE, PAUSE_SECONDS_MAX)

    def seconds_left(self, now: float) -> float:
        """Return how long a pause lasts; 0 without one, when the next batch brings room."""
        return max(min(self._paused_until, self._callers_until) - now, 0.0)
