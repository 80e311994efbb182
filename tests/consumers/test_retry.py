"""What failures mean, what is told of them, and how long is waited."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from processor.consumers import retry
from processor.consumers.handlers import Refused
from processor.consumers.ports import DependencyDown, Rejected, TryAgain
from processor.consumers.retry import Verdict


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (DependencyDown("away"), Verdict.DOWN),
        (TryAgain("deadlock"), Verdict.AGAIN),
        (TimeoutError(), Verdict.AGAIN),
        (Refused("TEMPLATE_MISSING", "none"), Verdict.REFUSED),
        (Rejected("constraint"), Verdict.ERROR),
        (KeyError("x"), Verdict.ERROR),
        # A handler that cannot open a file is not a database that is away.
        (FileNotFoundError("template.txt"), Verdict.ERROR),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_is_judged_by_its_kind(error: Exception, verdict: Verdict) -> None:
    assert retry.judge(error) is verdict


def test_every_verdict_on_an_event_has_a_bound() -> None:
    assert retry.ATTEMPTS_MAX.keys() == set(Verdict) - {Verdict.DOWN}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Refused("TEMPLATE_MISSING", "there is none"), ("TEMPLATE_MISSING", "there is none")),
        (TryAgain("deadlock"), ("RETRIES_EXHAUSTED", "deadlock")),
        (TimeoutError("of 4111111111111111"), ("RETRIES_EXHAUSTED", "it took too long each time")),
        (Rejected("check x"), ("DATA_REJECTED", "check x")),
        (KeyError("4111111111111111"), ("HANDLER_ERROR", "KeyError, logged as e1")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_told_of_a_failure_quotes_nothing(error: Exception, told: tuple[str, str]) -> None:
    assert retry.explain(error, "e1") == told


@given(some.integers(0, 10_000), some.floats(0, 1))
def test_a_delay_is_bounded(failures: int, fraction: float) -> None:
    assert 0 <= retry.delay(failures, fraction) <= retry.DELAY_SECONDS_MAX


@given(some.integers(1, 50))
def test_a_delay_never_gets_shorter_with_more_failures(failures: int) -> None:
    assert retry.delay(failures, 1.0) <= retry.delay(failures + 1, 1.0)


def test_a_delay_is_random_over_all_of_its_length() -> None:
    assert retry.delay(3, 0.0) == 0.0
    assert retry.delay(3, 0.5) == 0.1
    assert retry.delay(3, 1.0) == 0.2
