"""What becomes of a message after a try, and how long a channel is left alone."""

from datetime import UTC, datetime, timedelta

import pytest

from services.notifications import outcomes
from services.notifications.outcomes import Away, Breaker, Later, Outcome, Refused, Sent

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EXPIRES = NOW + timedelta(days=3)


@pytest.mark.parametrize(
    ("outcome", "tries", "state", "counts"),
    [
        (Sent("p-1"), 0, "sent", True),
        (Refused("SMTP_550"), 0, "failed", True),
        (Later("SMTP_450"), 0, "pending", True),
        (Later("SMTP_450"), outcomes.TRIES_MAX - 2, "pending", True),
        (Later("SMTP_450"), outcomes.TRIES_MAX - 1, "failed", True),
        (Away("TIMEOUT"), outcomes.TRIES_MAX - 1, "pending", False),
    ],
)
def test_each_outcome_has_its_consequence(
    outcome: Outcome, tries: int, state: str, counts: bool
) -> None:
    decision = outcomes.decide(outcome, tries, NOW, EXPIRES, 0.5)

    assert (decision.state, decision.counts) == (state, counts)
    assert (decision.next_try_at is not None) == (state == "pending")


def test_pauses_double_up_to_a_bound_and_are_spread() -> None:
    pauses = [outcomes.delay_seconds(tries, 1.0) for tries in range(1, outcomes.TRIES_MAX)]

    assert pauses[:4] == [30.0, 60.0, 120.0, 240.0]
    assert max(pauses) == outcomes.DELAY_SECONDS_MAX
    assert sum(pauses) > 8 * 3_600
    assert outcomes.delay_seconds(3, 0.0) == 60.0


def test_who_asks_for_more_patience_gets_it_and_what_would_be_too_old_then_failed() -> None:
    patient = outcomes.decide(Later("HTTP_429", 900.0), 0, NOW, EXPIRES, 0.5)
    too_late = outcomes.decide(Later("HTTP_429", 900.0), 0, NOW, NOW + timedelta(seconds=899), 0.5)

    assert patient.next_try_at == NOW + timedelta(seconds=900)
    assert too_late.state == "failed"


def test_a_breaker_opens_after_some_failures_probes_and_closes() -> None:
    breaker = Breaker()
    away = Away("TIMEOUT")
    for now in (1.0, 2.0, 3.0):
        assert breaker.room(now, 4) == 4
        breaker.began()
        breaker.ended(away, now, 1.0)
    assert breaker.is_open
    assert breaker.room(3.5, 4) == 0
    assert breaker.room(4.1, 4) == 1
    breaker.began()
    assert breaker.room(4.2, 4) == 0
    breaker.ended(away, 4.2, 1.0)
    assert breaker.room(6.1, 4) == 0
    assert breaker.room(6.3, 4) == 1
    breaker.began()
    breaker.ended(Refused("SMTP_550"), 6.4, 1.0)

    assert not breaker.is_open
    assert breaker.room(6.5, 4) == 4


def test_a_breaker_waits_a_minute_at_most() -> None:
    breaker = Breaker()
    for _ in range(100):
        breaker.ended(Away("TIMEOUT"), 0.0, 1.0)

    assert breaker.room(outcomes.AWAY_SECONDS_MAX - 0.1, 4) == 0
    assert breaker.room(outcomes.AWAY_SECONDS_MAX, 4) == 1
