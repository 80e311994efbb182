"""Which bulk commands wait for a full lane, how long, and how many are sent again at a time."""

import pytest

from gateway import backlog
from gateway.backlog import Backlog

HINT = 0.1
LONG = 100.0


def refused(*correlation_ids: int, now: float = 0.0) -> Backlog:
    given = Backlog()
    for correlation_id in correlation_ids:
        assert given.hold(correlation_id, HINT, now)
    return given


def shortest_wait(given: Backlog, since: float = 0.0) -> float:
    """Return after how many seconds something is due, to the millisecond."""
    return next(ms / 1_000 for ms in range(10_000) if given.is_due(since + ms / 1_000))


def waits(given: Backlog, rounds: int) -> list[float]:
    """Return how long each round waits, one after the other, when the lane takes nothing."""
    found: list[float] = []
    for _ in range(rounds):
        found.append(shortest_wait(given, sum(found)))
        given.release(sum(found))
        given.hold(1, HINT, sum(found))
    return found


def test_nothing_is_due_while_nothing_waits() -> None:
    assert not Backlog().is_due(LONG)


def test_what_the_lane_refused_waits_for_about_its_hint() -> None:
    waits = {shortest_wait(refused(1)) for _ in range(50)}

    assert HINT * (1 - backlog.JITTER) <= min(waits) < max(waits) <= HINT + 0.001


def test_it_goes_out_in_the_order_in_which_it_came() -> None:
    assert refused(7, 3, 5).release(LONG) == [3, 5, 7]


def test_a_round_that_was_refused_is_followed_by_a_later_one() -> None:
    given = refused(1, 2)
    first = given.round

    given.release(LONG)
    assert (given.round, given.is_shut) == (first + 1, False)
    given.hold(2, HINT, LONG)
    assert given.is_shut


def test_few_are_sent_again_while_the_lane_finishes_nothing() -> None:
    given = refused(*range(1_000))

    assert len(given.release(LONG)) == backlog.PROBE


def test_as_many_are_sent_again_as_the_lane_finished_and_a_few_more() -> None:
    given = refused(*range(1_000))
    given.finished = 400

    assert len(given.release(LONG)) == backlog.PROBE + 400 * backlog.FINISHED_SHARE


def test_the_delay_grows_while_nothing_is_taken_up_to_a_bound() -> None:
    delays = waits(refused(1), rounds=8)

    assert delays[3] > HINT * 2
    assert delays[-1] >= backlog.DELAY_SECONDS_MAX * (1 - backlog.JITTER)
    assert max(delays) <= backlog.DELAY_SECONDS_MAX + 0.002


def test_progress_brings_the_delay_back_to_the_hint() -> None:
    given = refused(1)
    end = sum(waits(given, rounds=8))
    given.release(end)
    given.finished = 1
    given.hold(1, HINT, end)

    assert given.is_due(end + HINT + 0.001)


def test_progress_that_shows_only_after_the_refusals_does_so_too() -> None:
    given = refused(1)
    end = sum(waits(given, rounds=8))
    given.finished = 1
    given.release(end)
    given.hold(1, HINT, end)

    assert given.is_due(end + HINT + 0.001)


def test_a_lane_that_has_answered_all_it_took_is_not_waited_for() -> None:
    given = refused(1)
    given.release(LONG)
    given.hold(1, HINT, LONG)
    assert not given.is_due(LONG, is_idle=True)

    given.finished = 1

    assert given.is_due(LONG, is_idle=True)
    assert not given.is_due(LONG)


def test_so_does_a_time_without_rounds() -> None:
    given = refused(1)
    end = sum(waits(given, rounds=8))
    given.release(end)
    given.hold(1, HINT, end + LONG)

    assert given.is_due(end + LONG + HINT + 0.001)


def test_one_more_than_may_wait_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "HELD_MAX", 2)
    given = refused(1, 2)

    assert not given.hold(3, HINT, 0.0)
    assert given.held == {1, 2}
