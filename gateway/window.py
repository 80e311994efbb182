"""How many bulk commands may be in flight: what the lane works off in a short time."""

from typing import Final

SHARE: Final = 0.75  # Of what may be in flight; single calls have the rest to themselves.
# Less than the lane lets wait, so that streams are slowed down before it must refuse them.
SECONDS: Final = 0.2
COMMANDS_MIN: Final = 400
_PACE_GUESS: Final = 10_000.0  # Commands per second, until the first are measured.
_PACE_WEIGHT: Final = 0.1  # Of the newest measurement.


class BulkWindow:
    """Grows and shrinks with the pace of the lane."""

    __slots__ = ("_commands_max", "_pace", "commands")

    def __init__(self, in_flight_max: int) -> None:
        self._commands_max = max(int(in_flight_max * SHARE), 1)
        self._pace = _PACE_GUESS
        self.commands = self._commands_now()

    def measure(self, finished: int, seconds: float, in_flight: int) -> None:
        """Learn the lane's pace, if it had enough to do to show it."""
        if finished and in_flight * 2 >= COMMANDS_MIN:
            self._pace += _PACE_WEIGHT * (finished / seconds - self._pace)
            self.commands = self._commands_now()

    def _commands_now(self) -> int:
        return min(max(COMMANDS_MIN, int(self._pace * SECONDS)), self._commands_max)
