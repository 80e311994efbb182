"""How many commands are under way to a lane: as many as it answers in a short time."""

from typing import Final

COMMANDS_MIN: Final = 40
COMMANDS_FIRST: Final = 200
SECONDS_TARGET: Final = 0.2
"""From sending until the answer. Behind callers the lane takes few of these at a time, and what
waits there is better kept here."""
GROWTH: Final = 1.15
SHRINKAGE: Final = 0.8
MEASURE_SECONDS: Final = 0.1


class Window:
    """Grows while answers come soon and shrinks while they come late."""

    __slots__ = ("_count", "_due", "_is_needed", "_max", "_seconds", "commands", "under_way")

    def __init__(self, commands_max: int) -> None:
        self._max = commands_max
        self._due = 0.0
        self._count = 0
        self._seconds = 0.0
        self._is_needed = False
        self.commands = min(COMMANDS_FIRST, commands_max)
        self.under_way = 0

    @property
    def room(self) -> int:
        """How many more may be sent."""
        return max(self.commands - self.under_way, 0)

    def sent(self) -> None:
        """One more is under way."""
        self.under_way += 1
        self._is_needed = self._is_needed or self.under_way >= self.commands

    def answered(self, seconds: float, now: float) -> None:
        """One is answered, so many seconds after it was sent."""
        self.under_way -= 1
        self._count += 1
        self._seconds += seconds
        if now >= self._due:
            self._adapt(now)

    def _adapt(self, now: float) -> None:
        mean = self._seconds / self._count
        if mean > SECONDS_TARGET:
            self.commands = max(int(self.commands * SHRINKAGE), min(COMMANDS_MIN, self._max))
        elif self._is_needed and mean < SECONDS_TARGET / 2:
            # Only a window that was filled says that there is more to be had.
            self.commands = min(int(self.commands * GROWTH) + 1, self._max)
        self._due = now + MEASURE_SECONDS
        self._count, self._seconds, self._is_needed = 0, 0.0, False
