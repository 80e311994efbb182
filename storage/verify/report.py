"""What a verification found: checks, the rows each one saw, and the breaches it names."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

BREACHES_MAX: Final = 20
"""Breaches named per check; people read the first few, and the rest is counted."""

VALUE_CHARACTERS_MAX: Final = 200
"""A value in a breach is cut here: descriptions and settlement terms may be long."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Check(msgspec.Struct, frozen=True):
    """One thing that was checked, the invariant (ARCHITECTURE.md) behind it, and what broke it."""

    name: str
    invariant: str
    rows: int
    ok: bool
    breaches: list[str]


class Head(msgspec.Struct, frozen=True):
    """The journal's newest row; kept elsewhere it is the anchor that shows a later truncation."""

    shard: str
    epoch: int
    incarnation: str
    seq: int
    hash: str


class Report(msgspec.Struct, frozen=True):
    """All checks of one run over one snapshot."""

    head: Head
    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return all(check.ok for check in self.checks)

    @property
    def breaches(self) -> list[str]:
        """Every breach that was named, in the order of the checks."""
        return [breach for check in self.checks for breach in check.breaches]

    def to_json(self) -> str:
        """Return the report as one JSON object."""
        return msgspec.json.encode(
            {"ok": self.ok, "head": self.head, "checks": self.checks}
        ).decode()


class Tally:
    """A check while it runs."""

    def __init__(self, name: str, invariant: str) -> None:
        self.rows = 0
        self._name = name
        self._invariant = invariant
        self._named: list[str] = []
        self._count = 0

    def breach(self, text: str) -> None:
        """Name a breach, or only count it once enough are named."""
        self._count += 1
        if self._count <= BREACHES_MAX:
            self._named.append(text)

    @property
    def full(self) -> bool:
        """Whether further breaches are only counted, so that finding their details is in vain."""
        return self._count >= BREACHES_MAX

    def check(self) -> Check:
        """Return what was found."""
        surplus = self._count - len(self._named)
        more = [f"and {surplus} more"] if surplus else []
        return Check(self._name, self._invariant, self.rows, not self._count, self._named + more)


def row(table: str, **key: object) -> str:
    """Return the name of a row: its table and primary key."""
    return f"{table} " + " ".join(f"{column}={value}" for column, value in key.items())


def differences(
    where: str,
    columns: Sequence[str],
    stored: Sequence[object],
    expected: Sequence[object],
    why: str,
) -> list[str]:
    """Return a breach for each column that is not as expected."""
    return [
        differs(where, column, is_, should_be, why)
        for column, is_, should_be in zip(columns, stored, expected, strict=True)
        if is_ != should_be
    ]


def differs(where: str, column: str, stored: object, expected: object, why: str) -> str:
    """Return the breach of one column."""
    is_, should_be = _shown(column, stored), _shown(column, expected)
    return f"{where}: {column} is {is_}, expected {should_be} ({why})"


def _shown(column: str, value: object) -> str:
    if isinstance(value, bytes):
        text = value.hex()
    elif column.endswith("_at") and isinstance(value, int):
        text = _time(value)
    else:
        text = repr(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "..."


def _time(time_us: int) -> str:
    try:
        return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds")
    except OverflowError:
        return f"{time_us} us"
