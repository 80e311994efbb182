"""When a user is to send next: a schedule that does not wait for answers."""

from collections.abc import Callable


class Schedule:
    """Intended sending times, a period apart. A late answer does not move those that follow.

    So a stall shows in the latency from the intended time, and what was missed is sent at once
    when it ends. A period of 0 means as soon as there was an answer.
    """

    def __init__(self, period_seconds: float, phase: float, clock: Callable[[], float]) -> None:
        """`phase`, 0 to 1, is the part of the period before the first time; it spreads users."""
        self._period = period_seconds
        self._clock = clock
        self._next = clock() + period_seconds * phase

    def wait_seconds(self) -> float:
        """Return how long it is to the next intended time; 0 when that is over."""
        return max(0.0, self._next - self._clock()) if self._period else 0.0

    def begin(self, now: float) -> float:
        """Return the intended time of what begins now, and go on to the one after it."""
        if not self._period:
            return now
        # A timer may fire a little early; nothing is measured from the future.
        intended = min(self._next, now)
        self._next += self._period
        return intended
