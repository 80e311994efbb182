"""Quiet hours, on ordinary nights and on those in which the clocks are set."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifications.quiet import is_quiet, quiet_until

VIENNA = ZoneInfo("Europe/Vienna")
EVENING, MORNING = time(22), time(7)
ZONES = st.sampled_from(
    ["Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
)
MINUTES = st.integers(0, 24 * 60 - 1).map(lambda it: time(it // 60, it % 60))
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 2 * 365 * 86_400).map(lambda it: BEGIN + timedelta(seconds=it))


def vienna(
    year: int, month: int, day: int, hour: int, minute: int = 0, *, fold: int = 0
) -> datetime:
    local = datetime(year, month, day, hour, minute, tzinfo=VIENNA, fold=fold)
    return local.astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (vienna(2026, 1, 10, 23), vienna(2026, 1, 11, 7)),
        (vienna(2026, 1, 11, 6, 59), vienna(2026, 1, 11, 7)),
        (vienna(2026, 1, 10, 22), vienna(2026, 1, 11, 7)),
        (vienna(2026, 1, 11, 7), None),
        (vienna(2026, 1, 11, 21, 59), None),
    ],
)
def test_nights_end_in_the_morning(now: datetime, until: datetime | None) -> None:
    assert quiet_until(now, VIENNA, EVENING, MORNING) == until


def test_a_night_in_which_the_clocks_are_set_forward_is_an_hour_shorter() -> None:
    now = vienna(2026, 3, 28, 23)

    until = quiet_until(now, VIENNA, EVENING, MORNING)

    assert until == datetime(2026, 3, 29, 5, tzinfo=UTC)
    assert until - now == timedelta(hours=7)


def test_a_night_in_which_the_clocks_are_set_back_is_an_hour_longer() -> None:
    now = vienna(2026, 10, 24, 23)

    until = quiet_until(now, VIENNA, EVENING, MORNING)

    assert until == datetime(2026, 10, 25, 6, tzinfo=UTC)
    assert until - now == timedelta(hours=9)


def test_an_end_that_the_clocks_pass_over_is_when_they_are_set() -> None:
    until = quiet_until(vienna(2026, 3, 29, 1), VIENNA, EVENING, time(2, 30))

    assert until == datetime(2026, 3, 29, 1, tzinfo=UTC)  # 03:00 on the wall.


def test_an_end_that_comes_twice_is_the_first_and_its_repetition_is_quiet_again() -> None:
    end = time(2, 30)

    first = quiet_until(vienna(2026, 10, 25, 1), VIENNA, EVENING, end)
    again = quiet_until(vienna(2026, 10, 25, 2, 15, fold=1), VIENNA, EVENING, end)

    assert first == vienna(2026, 10, 25, 2, 30, fold=0)
    assert again == vienna(2026, 10, 25, 2, 30, fold=1)


@given(MOMENTS, ZONES, MINUTES, MINUTES)
def test_it_is_quiet_until_then_and_not_any_more(
    now: datetime, name: str, begin: time, end: time
) -> None:
    if begin == end:
        end = time((end.hour + 1) % 24, end.minute)
    zone = ZoneInfo(name)

    until = quiet_until(now, zone, begin, end)

    if until is None:
        assert not is_quiet(now.astimezone(zone).time(), begin, end)
        return
    assert now < until <= now + timedelta(hours=26)
    assert not is_quiet(until.astimezone(zone).time(), begin, end)
    step = (until - now) / 20
    for count in range(20):
        assert is_quiet((now + count * step).astimezone(zone).time(), begin, end)
