"""Rows as arguments: a list per column, which the server unfolds again."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY: Final = date(1970, 1, 1)


def instant(time_us: int) -> datetime:
    """Return a time of µs since 1970."""
    return EPOCH + timedelta(microseconds=time_us)


def micros(time: datetime) -> int:
    """Return a time in µs since 1970, exactly."""
    return (time - EPOCH) // timedelta(microseconds=1)


def day(number: int) -> date:
    """Return a day of its number since 1970."""
    return EPOCH_DAY + timedelta(days=number)


class Columns(NamedTuple):
    """The columns of a table, in the order of its rows' fields, and the type of each."""

    names: Sequence[str]
    types: Sequence[str]

    @classmethod
    def of(cls, text: str) -> "Columns":
        """Read `name type, name type, ...`."""
        pairs = [each.split() for each in text.split(",")]
        return cls([name for name, _ in pairs], [type_ for _, type_ in pairs])

    @property
    def listed(self) -> str:
        """The names with commas between."""
        return ", ".join(self.names)

    @property
    def unfolded(self) -> str:
        """What rows are selected from: one argument per column, as `it`."""
        arguments = ", ".join(f"${n}::{type_}[]" for n, type_ in enumerate(self.types, start=1))
        return f"unnest({arguments}) AS it ({self.listed})"


def arguments(rows: Iterable[Sequence[Any]], columns: Columns) -> list[list[Any]]:
    """Return rows as a list per column."""
    found = [list(column) for column in zip(*rows, strict=True)]
    return found or [[] for _ in columns.names]
