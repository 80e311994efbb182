"""How many commands may wait, by what the lane works off."""

from processor.admission import BACKLOG_MIN, COMMANDS_MIN, WAIT_SECONDS_MAX, Admission
from processor.domain import commands
from processor.entries import Entry

QUEUE_MAX = 20_000
VOID = Entry(commands.Void(commands.Principal("dev", "", False), "r", "pay"), lambda _: None)


def waits(admission: Admission) -> int:
    """Return how many commands a queue takes."""
    return next(waiting for waiting in range(QUEUE_MAX + 1) if not admission.admits(VOID, waiting))


def work(admission: Admission, per_second: int, *, waiting: int) -> None:
    """Let a second pass in which a lane worked off so many."""
    for _ in range(20):
        admission.finished(per_second // 20)
        admission.measure(0.05, waiting)


def test_a_slow_lane_lets_few_wait() -> None:
    admission = Admission(QUEUE_MAX)

    work(admission, 6_000, waiting=BACKLOG_MIN)

    assert abs(waits(admission) - 6_000 * WAIT_SECONDS_MAX) < 50


def test_a_fast_lane_lets_more_wait_up_to_the_bound() -> None:
    admission = Admission(QUEUE_MAX)

    work(admission, 30_000, waiting=BACKLOG_MIN)
    assert 14_000 < waits(admission) <= 15_000

    work(admission, 1_000_000, waiting=BACKLOG_MIN)
    assert waits(admission) == QUEUE_MAX


def test_an_idle_or_stalled_lane_says_nothing_about_its_pace() -> None:
    admission = Admission(QUEUE_MAX)
    before = waits(admission)

    work(admission, 20, waiting=BACKLOG_MIN - 1)
    work(admission, 0, waiting=BACKLOG_MIN)

    assert waits(admission) == before


def test_some_may_always_wait() -> None:
    admission = Admission(QUEUE_MAX)

    work(admission, 20, waiting=BACKLOG_MIN)

    assert waits(admission) == COMMANDS_MIN
