"""How many commands may wait: as many as the lane works off soon, and who gives way first (R19).

A command that would wait longer than its caller does is better refused at once. What undoes or
finishes payments is let in last of all to be refused, and bulk first.
"""

from typing import Final

from processor.domain import commands
from processor.entries import Entry

WAIT_SECONDS_MAX: Final = 0.5
"""A full queue is worked off in about this time."""

COMMANDS_MIN: Final = 2_000
"""As many may always wait: a lane that has just begun is slow, and one with nothing to do shows no
pace."""

BACKLOG_MIN: Final = COMMANDS_MIN // 2
"""With fewer commands left over, what was finished says how many came, not how many could."""

PACE_GUESS: Final = 10_000.0
"""Commands per second, until the first are measured."""

_PACE_WEIGHT: Final = 0.2
"""Of the newest measurement: the mean follows within a quarter of a second."""

BULK_SHARE: Final = 0.6
AUTHORIZATION_SHARE: Final = 0.85
"""Shares of the queue that these may fill; captures, voids, refunds and reversals may fill it."""


class Admission:
    """Bounds the queue by the lane's own pace."""

    def __init__(self, commands_max: int) -> None:
        self._commands_max = commands_max
        self._pace = PACE_GUESS
        self._finished = 0
        self._limit = self._limit_now()

    def admits(self, entry: Entry, waiting: int) -> bool:
        """Say whether one more may wait behind as many."""
        if waiting * 2 < self._limit:
            return True
        if entry.bulk:
            return waiting < self._limit * BULK_SHARE
        if isinstance(entry.command, commands.Authorize):
            return waiting < self._limit * AUTHORIZATION_SHARE
        return waiting < self._limit

    def finished(self, count: int) -> None:
        """Count commands that got their reply."""
        self._finished += count

    def measure(self, seconds: float, waiting: int) -> None:
        """Learn the pace of the last so many seconds, if there was enough to do to show it."""
        finished, self._finished = self._finished, 0
        if finished and waiting >= BACKLOG_MIN:
            self._pace += _PACE_WEIGHT * (finished / seconds - self._pace)
            self._limit = self._limit_now()

    def _limit_now(self) -> int:
        return min(self._commands_max, max(COMMANDS_MIN, int(self._pace * WAIT_SECONDS_MAX)))
