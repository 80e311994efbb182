"""What becomes of a message after a try, and how long a channel is left alone that is away."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

TRIES_MAX: Final = 12
"""With the delays below they take about a day."""
DELAY_SECONDS_MIN: Final = 30.0
DELAY_SECONDS_MAX: Final = 4 * 3_600.0
AWAY_SECONDS_MIN: Final = 1.0
AWAY_SECONDS_MAX: Final = 60.0
FAILURES_IN_A_ROW_MAX: Final = 3
"""Of connections: after so many the channel is away."""

TOO_OLD: Final = "TOO_OLD"
NO_ADDRESS: Final = "NO_ADDRESS"
OPTED_OUT: Final = "OPTED_OUT"
ERASED: Final = "ERASED"


@dataclass(frozen=True, slots=True)
class Sent:
    """Whoever was given it has taken it."""

    reference: str = ""
    """By what they know it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never be taken; the code is such as SMTP_550."""

    code: str


@dataclass(frozen=True, slots=True)
class Later:
    """It was tried and may go another time."""

    code: str
    after_seconds: float = 0.0
    """They asked for so much patience."""


@dataclass(frozen=True, slots=True)
class Away:
    """Nobody answered, or they take nothing from us: no message is to blame, and none was tried."""

    code: str
    after_seconds: float = 0.0


Outcome: TypeAlias = Sent | Refused | Later | Away


@dataclass(frozen=True, slots=True)
class Decision:
    """What is recorded of a message."""

    state: str
    counts: bool
    problem: str = ""
    reference: str = ""
    next_try_at: datetime | None = None


def decide(
    outcome: Outcome, tries: int, now: datetime, expires_at: datetime, fraction: float
) -> Decision:
    """Return what becomes of a message that had so many tries before this one.

    `fraction`, random from 0 to 1, keeps those apart that failed together.
    """
    match outcome:
        case Sent(reference):
            return Decision("sent", True, reference=reference)
        case Refused(code):
            return Decision("failed", True, code)
        case Later(code, after_seconds):
            if tries + 1 >= TRIES_MAX:
                return Decision("failed", True, code)
            pause = max(delay_seconds(tries + 1, fraction), after_seconds)
            return _again(code, True, now, timedelta(seconds=pause), expires_at)
        case Away(code, after_seconds):
            # The channel waits anyway; this one is tried when it goes on.
            return _again(code, False, now, timedelta(seconds=after_seconds), expires_at)


def _again(
    code: str, counts: bool, now: datetime, pause: timedelta, expires_at: datetime
) -> Decision:
    if now + pause >= expires_at:
        return Decision("failed", counts, code)
    return Decision("pending", counts, code, next_try_at=now + pause)


def delay_seconds(tries: int, fraction: float) -> float:
    """Return how long to wait after so many tries: half of it fixed, half at random."""
    whole = min(DELAY_SECONDS_MAX, DELAY_SECONDS_MIN * 2.0 ** min(max(tries - 1, 0), 20))
    return whole / 2 + whole / 2 * fraction


class Breaker:
    """Keeps a channel from being tried while nobody answers there. Times are monotonic, in s."""

    def __init__(self, failures_max: int = FAILURES_IN_A_ROW_MAX) -> None:
        self._failures_max = failures_max
        self._failures = 0
        self._open_until = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the channel is held to be away."""
        return self._failures >= self._failures_max

    def room(self, now: float, free: int) -> int:
        """Return how many messages may be tried now; one, to see, once it was left alone enough."""
        if not self.is_open:
            return free
        if now < self._open_until or self._probing:
            return 0
        return min(free, 1)

    def began(self) -> None:
        """Note that one is tried."""
        self._probing = self.is_open

    def ended(self, outcome: Outcome, now: float, fraction: float) -> None:
        """Note what came of one."""
        self._probing = False
        if not isinstance(outcome, Away):
            self._failures = 0
            return
        self._failures += 1
        beyond = max(self._failures - self._failures_max, 0)
        pause = min(AWAY_SECONDS_MAX, AWAY_SECONDS_MIN * 2.0 ** min(beyond, 16))
        self._open_until = now + max(pause * (0.5 + fraction / 2), outcome.after_seconds)

    def unused(self) -> None:
        """Note that what began was not tried after all."""
        self._probing = False
