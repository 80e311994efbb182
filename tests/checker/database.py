"""What the database holds of one history: plain rows, read in one snapshot."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import asyncpg

Row = dict[str, Any]

TENANT_TOTALS = """
SELECT currency, sum(posted)::bigint AS total
FROM accounts WHERE tenant_id = $1
GROUP BY currency HAVING sum(posted) <> 0
"""
KEYS = """
SELECT request_id, method, outcome, resource_id
FROM requests WHERE tenant_id = $1 AND request_id = ANY($2::text[])
"""
PAYMENTS = "SELECT * FROM payments WHERE merchant_id = ANY($1::text[]) OR id = ANY($2::text[])"
REFUNDS = "SELECT * FROM refunds WHERE payment_id = ANY($1::text[])"
TRANSFERS = """
SELECT * FROM transfers
WHERE debit_account_id = ANY($1::text[]) OR credit_account_id = ANY($1::text[])
   OR id = ANY($2::text[])
"""
LINKS = """
SELECT id, payer_account_id, payer_previous_id
FROM payments WHERE payer_account_id = ANY($1::text[])
"""
MARKS = "SELECT account_id, transfer_id FROM account_marks WHERE account_id = ANY($1::text[])"
ACCOUNTS = "SELECT * FROM accounts WHERE id = ANY($1::text[])"
MERCHANTS = "SELECT * FROM merchants WHERE id = ANY($1::text[])"


@dataclass
class Rows:
    """Rows by id."""

    payments: dict[str, Row]
    refunds: dict[str, Row]
    transfers: dict[str, Row]
    accounts: dict[str, Row]
    merchants: dict[str, Row]
    links: dict[str, Row]
    marks: list[Row]
    unbalanced: dict[str, int]


class Database:
    """A connection that sees one moment."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def keys(self, tenant_id: str, request_ids: Iterable[str]) -> dict[str, Row]:
        """Return the stored request keys."""
        rows = await self._connection.fetch(KEYS, tenant_id, list(request_ids))
        return {row["request_id"]: dict(row) for row in rows}

    async def rows(
        self,
        tenant_id: str,
        *,
        payments: set[str],
        transfers: set[str],
        accounts: set[str],
        merchants: set[str],
    ) -> Rows:
        """Return the named rows, and those that hang on them whether or not they are named."""
        found = await self._by_id(PAYMENTS, list(merchants), list(payments))
        return Rows(
            payments=found,
            refunds=await self._by_id(REFUNDS, list(found)),
            transfers=await self._by_id(TRANSFERS, list(accounts), list(transfers)),
            accounts=await self._by_id(ACCOUNTS, list(accounts)),
            merchants=await self._by_id(MERCHANTS, list(merchants)),
            links=await self._by_id(LINKS, list(accounts)),
            marks=[dict(row) for row in await self._connection.fetch(MARKS, list(accounts))],
            unbalanced={
                row["currency"]: row["total"]
                for row in await self._connection.fetch(TENANT_TOTALS, tenant_id)
            },
        )

    async def _by_id(self, query: str, *arguments: Any) -> dict[str, Row]:
        return {row["id"]: dict(row) for row in await self._connection.fetch(query, *arguments)}
