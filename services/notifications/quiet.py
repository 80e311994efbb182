"""Quiet hours: until when somebody is to be left alone. The clock on their wall decides."""

from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)


def is_quiet(local: time, begin: time, end: time) -> bool:
    """Say whether a wall clock shows quiet hours; they may go past midnight."""
    if begin < end:
        return begin <= local < end
    return local >= begin or local < end


def quiet_until(now: datetime, zone: ZoneInfo, begin: time, end: time) -> datetime | None:
    """Return when the quiet hours end that it is in, in UTC; None if there are none at the time.

    `begin` and `end` are whole minutes. Where the clocks are set forward over the end, that is the
    end; where an hour comes twice, they end when the clock shows their end for the first time, and
    a clock that is set back into them makes it quiet again.
    """
    now = now.astimezone(UTC)
    wall = now.astimezone(zone)
    if not is_quiet(wall.time(), begin, end):
        return None
    ends = (
        datetime.combine(day, end, zone).replace(fold=fold).astimezone(UTC)
        for day in (wall.date(), wall.date() + _DAY)
        for fold in (0, 1)
    )
    # A time that the clocks pass over stands for none that they show.
    until = min(one for one in ends if one > now and one.astimezone(zone).time() == end)
    if until.astimezone(zone).utcoffset() == wall.utcoffset():
        return until
    # The clocks are set in between, some night of the year: then each minute is looked at.
    at = now.replace(second=0, microsecond=0) + _MINUTE
    while is_quiet(at.astimezone(zone).time(), begin, end):
        at += _MINUTE
    return at
