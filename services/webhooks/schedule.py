"""When a delivery is tried again, when it is given up, and when an endpoint is given up. Pure."""

import datetime
from dataclasses import dataclass
from typing import Final

TRIES_MAX: Final = 16
AGE_MAX: Final = datetime.timedelta(hours=24)
DELAY_SECONDS_FIRST: Final = 10.0
DELAY_SECONDS_MAX: Final = 4 * 3_600.0
JITTER: Final = 0.1
"""Part of a delay by which it is longer or shorter, so that endpoints do not come back at once."""

TRIES_EXHAUSTED: Final = "TRIES_EXHAUSTED"
TOO_OLD: Final = "TOO_OLD"
QUEUE_FULL: Final = "QUEUE_FULL"
ENDPOINT_GONE: Final = "ENDPOINT_GONE"

GONE: Final = 410
_ASKS_TO_WAIT: Final = frozenset({429, 503})


@dataclass(frozen=True)
class Result:
    """What came of an attempt; `cause` is empty if it succeeded."""

    status_code: int
    cause: str
    seconds: float
    retry_after_seconds: float = 0.0

    @property
    def is_success(self) -> bool:
        """Whether the endpoint has the event."""
        return not self.cause


@dataclass(frozen=True)
class Verdict:
    """What becomes of a delivery after an attempt: a state of `deliveries`."""

    state: str
    cause: str = ""
    delay_seconds: float = 0.0
    """Until the next attempt, of a delivery that stays pending."""
    is_gone: bool = False
    """The endpoint wants no more."""


@dataclass(frozen=True)
class DeadRules:
    """When an endpoint counts as dead: both have to be true."""

    days: float
    failures: int


def delay_seconds(tries: int, fraction: float) -> float:
    """Return how long to wait after a number of tries, in s; `fraction` is random from 0 to 1.

    The delays of 15 failures add up to less than AGE_MAX whatever the fractions are.
    """
    assert tries > 0
    plain: float = min(DELAY_SECONDS_MAX, DELAY_SECONDS_FIRST * 2.0 ** min(tries - 1, 32))
    return plain * (1.0 - JITTER + 2.0 * JITTER * fraction)


def judged(result: Result, tries: int, fraction: float) -> Verdict:
    """Say what becomes of a delivery whose try of that number, from 1, had a result."""
    if result.is_success:
        return Verdict("delivered")
    if result.status_code == GONE:
        return Verdict("failed", ENDPOINT_GONE, is_gone=True)
    if tries >= TRIES_MAX:
        return Verdict("failed", TRIES_EXHAUSTED)
    delay = delay_seconds(tries, fraction)
    if result.status_code in _ASKS_TO_WAIT:
        # Never shorter than ours, and never so long that one answer stops an endpoint for a day.
        delay = max(delay, min(result.retry_after_seconds, DELAY_SECONDS_MAX))
    return Verdict("pending", delay_seconds=delay)


def is_dead(
    failing_since: datetime.datetime, failures: int, now: datetime.datetime, rules: DeadRules
) -> bool:
    """Say whether an endpoint that has failed without a success in between is given up."""
    has_time = now - failing_since >= datetime.timedelta(days=rules.days)
    return has_time and failures >= rules.failures
