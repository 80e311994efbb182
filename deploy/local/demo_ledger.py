"""What the demo reads in the database itself: all balances by kind, and the journal's last rows."""

from dataclasses import dataclass

import asyncpg
import msgspec
from rich.table import Table

import tender
from deploy.local.commands import output
from kit import frames

JOURNAL_ROWS = 8
CONNECT_SECONDS_MAX = 10

SELECT_BALANCES = """
SELECT   currency, kind, count(*) AS accounts,
         sum(posted)::bigint AS posted, sum(held)::bigint AS held
FROM     accounts
GROUP BY currency, kind
ORDER BY currency, kind
"""
SELECT_JOURNAL = f"""
SELECT   seq, epoch, left(encode(previous_hash, 'hex'), 12) AS previous_hash,
         left(encode(hash, 'hex'), 12) AS hash, body
FROM     journal
ORDER BY seq DESC
LIMIT    {JOURNAL_ROWS}
"""
SELECT_BATCHES = "SELECT count(*) FROM journal"


@dataclass(frozen=True)
class Ledger:
    """Rows as read, oldest first."""

    balances: list[asyncpg.Record]
    journal: list[asyncpg.Record]
    batches: int

    def sums(self) -> dict[str, int]:
        """What all accounts of a currency have together: nothing, if every debit has its credit."""
        sums: dict[str, int] = {}
        for row in self.balances:
            sums[row["currency"]] = sums.get(row["currency"], 0) + row["posted"]
        return sums

    def balances_table(self) -> Table:
        rows = [
            (
                row["currency"],
                row["kind"].lower().replace("_", " "),
                f"{row['accounts']:,}",
                output.money(tender.money(row["currency"], row["posted"])),
                output.money(tender.money(row["currency"], row["held"])),
            )
            for row in self.balances
        ]
        rows += [
            (code, "[bold]all together[/]", "", output.money(tender.money(code, total)), "")
            for code, total in self.sums().items()
        ]
        columns = ("currency", "accounts of kind", "=number", "=posted", "=held")
        return output.table(columns, sorted(rows, key=lambda row: row[0]))

    def journal_table(self) -> Table:
        columns = (
            "=seq", "=epoch", "after", "hash", "=requests", "=payments", "=transfers", "=events",
        )  # fmt: skip
        names = ("seq", "epoch", "previous_hash", "hash")
        rows = [
            [*(f"{row[name]}" for name in names), *_counts(row["body"])] for row in self.journal
        ]
        return output.table(columns, rows)


async def read(dsn: str) -> Ledger:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS_MAX)
    try:
        return Ledger(
            balances=await connection.fetch(SELECT_BALANCES),
            journal=(await connection.fetch(SELECT_JOURNAL))[::-1],
            batches=await connection.fetchval(SELECT_BATCHES),
        )
    finally:
        await connection.close()


def _counts(body: bytes) -> list[str]:
    written = msgspec.json.decode(frames.unpack(body))
    return [f"{len(written[kind])}" for kind in ("keys", "payments", "transfers", "events")]
