"""Compares the projection with the ledgers of all shards, to the cent.

Sums by merchant and currency, of payments and of the days that they are counted on, the balances of
accounts by kind, and with each sum a checksum over every row of it. Both sides are read as of one
moment each; while payments go on these are not the same moment, so it is tried again until they are
or the time is over.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from services.reporting import ledgers
from services.reporting.summary import NOTHING, Difference, Summary, differences

PAUSE_SECONDS: Final = 0.5

_DAY_SUMS: Final = """
SELECT tenant_id, merchant_id, currency, sum(captured)::text, sum(fees)::text, sum(refunded)::text,
       sum(fees_refunded)::text
  FROM report.day_volumes
 GROUP BY 1, 2, 3
"""
_DAY_PAYMENTS: Final = """
SELECT tenant_id, merchant_id, currency, sum(payments)::text FROM report.day_states GROUP BY 1, 2, 3
"""
_POSITIONS: Final = "SELECT shard, max(seq) AS seq FROM report.positions GROUP BY shard"


class Verdict(NamedTuple):
    """What a comparison found."""

    differences: Sequence[Difference]
    seqs: Mapping[str, int]
    """The commits as of which the ledgers were read, by shard."""
    payments: int
    accounts: int
    attempts: int

    @property
    def ok(self) -> bool:
        """Whether all is equal."""
        return not self.differences


async def verify(shards: Mapping[str, str], report_url: str, wait_seconds: float) -> Verdict:
    """Compare; `shards` are URLs of ledgers by the shard's name."""
    until, attempts = time.monotonic() + wait_seconds, 0
    while True:
        attempts += 1
        found = await asyncio.gather(
            *(ledgers.summary_of(shard, url) for shard, url in shards.items())
        )
        ledger = NOTHING
        for one in found:
            ledger = ledger.plus(one)
        verdict = await _compare(ledger, report_url, attempts)
        if verdict.ok or time.monotonic() >= until:
            return verdict
        await asyncio.sleep(PAUSE_SECONDS)


async def _compare(ledger: Summary, report_url: str, attempts: int) -> Verdict:
    async with (
        ledgers.connected(report_url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        report = await _summary(connection)
        days = await _days(connection)
    found = [*differences(ledger, report), *_days_differ(ledger, days)]
    return Verdict(
        found,
        ledger.seqs,
        sum(it[0] for it in ledger.payments.values()),
        sum(it[0] for it in ledger.accounts.values()),
        attempts,
    )


async def _summary(connection: Any) -> Summary:
    seqs = {row["shard"]: row["seq"] for row in await connection.fetch(_POSITIONS)}
    payments = await connection.fetch(
        f"{ledgers.PAYMENT_SUMS} FROM report.payments {ledgers.GROUPED}"
    )
    accounts = await connection.fetch(
        f"{ledgers.ACCOUNT_SUMS} FROM report.accounts {ledgers.GROUPED}"
    )
    return Summary.of(seqs, payments, accounts)


async def _days(connection: Any) -> dict[tuple[str, str, str], tuple[int, ...]]:
    volumes = {
        tuple(row)[:3]: tuple(int(it) for it in tuple(row)[3:])
        for row in await connection.fetch(_DAY_SUMS)
    }
    counts = {tuple(row)[:3]: int(row[3]) for row in await connection.fetch(_DAY_PAYMENTS)}
    return {
        key: (counts.get(key, 0), *volumes.get(key, (0, 0, 0, 0)))
        for key in volumes.keys() | counts.keys()
    }


def _days_differ(
    ledger: Summary, days: Mapping[tuple[str, str, str], tuple[int, ...]]
) -> list[Difference]:
    """Compare what days sum up to; they have no checksum of rows."""
    there = Summary({}, {key: (*it[:-1], 0) for key, it in ledger.payments.items()}, {})
    here = Summary({}, {key: (*it, 0) for key, it in days.items()}, {})
    return [it._replace(of="days") for it in differences(there, here)]
