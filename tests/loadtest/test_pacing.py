"""Users send on their schedule, whatever the answers do; a flash sale has its shape."""

import pytest

from loadtest import shape
from loadtest.pacing import Schedule


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_intended_times_are_a_period_apart() -> None:
    clock = Clock()
    schedule = Schedule(0.5, phase=0.2, clock=clock)

    waits = []
    for _ in range(3):
        waits.append(schedule.wait_seconds())
        clock.now += schedule.wait_seconds()
        schedule.begin(clock.now)

    assert waits == pytest.approx([0.1, 0.5, 0.5])


def test_a_stall_shows_in_the_intended_times_and_is_made_up_for() -> None:
    clock = Clock()
    schedule = Schedule(0.5, phase=0.0, clock=clock)
    schedule.begin(clock.now)

    clock.now += 2.0  # The first call took two seconds.
    late = [clock.now - schedule.begin(clock.now) for _ in range(4)]

    assert late == pytest.approx([1.5, 1.0, 0.5, 0.0])
    assert schedule.wait_seconds() == pytest.approx(0.5)


def test_without_a_period_each_call_begins_when_it_begins() -> None:
    clock = Clock()
    schedule = Schedule(0.0, phase=0.7, clock=clock)

    clock.now += 3
    assert schedule.wait_seconds() == 0
    assert schedule.begin(clock.now) == clock.now


def test_a_call_ahead_of_its_time_counts_from_when_it_was_sent() -> None:
    clock = Clock()
    schedule = Schedule(0.5, phase=1.0, clock=clock)

    assert schedule.begin(clock.now) == clock.now


@pytest.mark.parametrize(
    ("elapsed", "users"), [(0, 40), (29.9, 40), (30, 400), (69.9, 400), (70, 100), (99.9, 100)]
)
def test_the_sale_is_calm_then_crowded_then_has_a_tail(elapsed: float, users: int) -> None:
    assert shape.users_at(elapsed, duration_seconds=100, users_max=400) == users


def test_the_sale_ends_with_its_duration() -> None:
    assert shape.users_at(100, duration_seconds=100, users_max=400) is None


def test_even_the_smallest_sale_has_somebody() -> None:
    assert shape.users_at(0, duration_seconds=100, users_max=1) == 1
