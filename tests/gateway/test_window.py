"""How many bulk commands may be in flight follows the pace of the lane."""

from gateway import window
from gateway.window import BulkWindow


def settled(pace: int, in_flight_max: int = 50_000) -> int:
    """Return the window after a minute at so many commands per second."""
    given = BulkWindow(in_flight_max)
    for _ in range(1_200):
        given.measure(pace // 20, 0.05, in_flight=1_000)
    return given.commands


def test_it_is_what_the_lane_works_off_in_its_time() -> None:
    assert abs(settled(20_000) - 20_000 * window.SECONDS) < 10
    assert abs(settled(5_000) - 5_000 * window.SECONDS) < 10


def test_it_has_a_least_and_a_share_of_what_may_be_in_flight() -> None:
    assert settled(100) == window.COMMANDS_MIN
    assert settled(1_000_000, in_flight_max=4_096) == 4_096 * window.SHARE
    assert BulkWindow(1).commands == 1


def test_a_lane_with_little_to_do_or_that_stands_still_teaches_nothing() -> None:
    given = BulkWindow(50_000)
    before = given.commands

    given.measure(10, 0.05, in_flight=10)
    given.measure(0, 0.05, in_flight=1_000)

    assert given.commands == before
