"""What a failure means: wait for somebody, try again, look for the one event, or park it."""

import enum
from typing import Final

from processor.consumers.handlers import Refused
from processor.consumers.ports import DependencyDown, Rejected, TryAgain

HANDLER_ERROR: Final = "HANDLER_ERROR"
DATA_REJECTED: Final = "DATA_REJECTED"
RETRIES_EXHAUSTED: Final = "RETRIES_EXHAUSTED"

DELAY_SECONDS_MIN: Final = 0.05
DELAY_SECONDS_MAX: Final = 5.0
"""Between two tries; what is down is looked at that often for as long as it takes."""


class Verdict(enum.Enum):
    """What is done about a failure."""

    DOWN = "down"
    """Nothing is read until it is back; no event is to blame."""
    AGAIN = "again"
    """It may go the next time."""
    ERROR = "error"
    """Of ours: it hardly goes the next time, but nobody knows."""
    REFUSED = "refused"
    """It never goes."""


ATTEMPTS_MAX: Final = {Verdict.AGAIN: 8, Verdict.ERROR: 3, Verdict.REFUSED: 1}
"""Of an event by itself, before it is parked. Eight take about 10 s with their delays."""


def judge(error: Exception) -> Verdict:
    """Say what a failure means."""
    match error:
        case DependencyDown():
            return Verdict.DOWN
        case TryAgain() | TimeoutError():
            return Verdict.AGAIN
        case Refused():
            return Verdict.REFUSED
        case _:
            return Verdict.ERROR


def explain(error: Exception, error_id: str = "") -> tuple[str, str]:
    """Return cause and text of a failure, for its letter.

    What an unexpected exception says may quote the event: only its class is told, and the id under
    which the log has the rest.
    """
    match error:
        case Refused():
            return error.cause, error.text
        case TryAgain() | TimeoutError():
            said = str(error) if isinstance(error, TryAgain) else ""
            return RETRIES_EXHAUSTED, said or "it took too long each time"
        case Rejected():
            return DATA_REJECTED, str(error)
        case _:
            found = f", logged as {error_id}" if error_id else ""
            return HANDLER_ERROR, f"{type(error).__name__}{found}"


def delay(failures: int, fraction: float) -> float:
    """Return how long to wait after a number of failures in a row, in s.

    It doubles with each, up to a bound; `fraction` of it, random from 0 to 1, keeps those apart
    that failed together.
    """
    doublings = min(max(failures - 1, 0), 16)
    return fraction * min(DELAY_SECONDS_MAX, DELAY_SECONDS_MIN * 2.0**doublings)
