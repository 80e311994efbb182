"""Sums of a ledger and of what is reported of it, and where they differ. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

Key = tuple[str, str, str]
"""Tenant; merchant or kind of account; currency."""

PAYMENT_NAMES: Final = ("payments", "captured", "fees", "refunded", "fees given back", "checksum")
ACCOUNT_NAMES: Final = ("accounts", "posted", "held", "checksum")


class Difference(NamedTuple):
    """A number that is not the same on both sides, in minor units if it is money."""

    of: str
    key: Key
    name: str
    ledger: int
    report: int


class Summary(NamedTuple):
    """Sums by key; `seqs` says of each shard up to which commit."""

    seqs: Mapping[str, int]
    payments: Mapping[Key, tuple[int, ...]]
    accounts: Mapping[Key, tuple[int, ...]]

    @classmethod
    def of(
        cls, seqs: Mapping[str, int], payments: Sequence[Any], accounts: Sequence[Any]
    ) -> "Summary":
        """Return the summary of rows; the first three columns are the key."""
        return cls(seqs, _numbers(payments), _numbers(accounts))

    def plus(self, other: "Summary") -> "Summary":
        """Return the sum with another shard's."""
        return Summary(
            {**self.seqs, **other.seqs},
            _added(self.payments, other.payments),
            _added(self.accounts, other.accounts),
        )


NOTHING: Final = Summary({}, {}, {})


def _numbers(rows: Sequence[Any]) -> dict[Key, tuple[int, ...]]:
    return {(row[0], row[1], row[2]): tuple(int(it) for it in tuple(row)[3:]) for row in rows}


def _added(
    one: Mapping[Key, tuple[int, ...]], other: Mapping[Key, tuple[int, ...]]
) -> dict[Key, tuple[int, ...]]:
    """Add numbers by key; the last is a checksum, which is folded as its rows were."""
    found = dict(one)
    for key, numbers in other.items():
        before = found.get(key)
        if before is None:
            found[key] = numbers
            continue
        sums = [a + b for a, b in zip(before[:-1], numbers[:-1], strict=True)]
        found[key] = (*sums, before[-1] ^ numbers[-1])
    return found


def differences(ledger: Summary, report: Summary) -> Iterator[Difference]:
    """Yield each number that differs."""
    yield from _of("payments", PAYMENT_NAMES, ledger.payments, report.payments)
    yield from _of("accounts", ACCOUNT_NAMES, ledger.accounts, report.accounts)


def _of(
    of: str,
    names: Sequence[str],
    ledger: Mapping[Key, tuple[int, ...]],
    report: Mapping[Key, tuple[int, ...]],
) -> Iterator[Difference]:
    nothing = (0,) * len(names)
    for key in sorted(ledger.keys() | report.keys()):
        there, here = ledger.get(key, nothing), report.get(key, nothing)
        for name, expected, found in zip(names, there, here, strict=True):
            if expected != found:
                yield Difference(of, key, name, expected, found)
