"""What the databases hold of one history: plain rows, each shard's read in one snapshot."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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
BUCKETS = "SELECT region, ranges FROM lane_buckets"
MERCHANTS = "SELECT * FROM merchants WHERE id = ANY($1::text[])"
CLEARING = "SELECT * FROM accounts WHERE tenant_id = $1 AND kind = 'CLEARING'"
SUSPENDED = """
SELECT t.* FROM transfers AS t
JOIN accounts AS c ON c.id = t.credit_account_id
JOIN accounts AS d ON d.id = t.debit_account_id
WHERE c.tenant_id = $1 AND c.kind = 'SUSPENSE' AND d.kind = 'CLEARING'
"""

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Of the two characters at the end of an id, which are its bucket."""

COPIED = ("version", "reference", "display_name", "state", "settlement_terms")
"""Of a merchant, whose row is on every shard."""


@dataclass
class Rows:
    """Rows by id, of all shards."""

    payments: dict[str, Row] = field(default_factory=dict)
    refunds: dict[str, Row] = field(default_factory=dict)
    transfers: dict[str, Row] = field(default_factory=dict)
    accounts: dict[str, Row] = field(default_factory=dict)
    merchants: dict[str, Row] = field(default_factory=dict)
    links: dict[str, Row] = field(default_factory=dict)
    clearing: dict[str, Row] = field(default_factory=dict)
    suspended: dict[str, Row] = field(default_factory=dict)
    """Transfers by which money that came from another shard went into suspense."""
    marks: list[Row] = field(default_factory=list)
    homes: dict[str, int] = field(default_factory=dict)
    """On which shard an account or a payment is, counted from 0."""
    moved: set[str] = field(default_factory=set)
    """Accounts and payments of which a shard has rows that it does not answer for (any more)."""
    problems: list[str] = field(default_factory=list)

    def are_apart(self, one: str, other: str) -> bool:
        """Say whether two accounts or payments are, or may have been, on different shards."""
        homes = (self.homes.get(one), self.homes.get(other))
        if None not in homes and self.moved & {one, other}:
            return True
        return None not in homes and homes[0] != homes[1]

    def add(self, shard: int, more: "Rows") -> None:
        """Take in what another shard has; only a merchant may be on several."""
        for name in ("payments", "refunds", "transfers", "accounts", "links", "clearing"):
            mine, theirs = getattr(self, name), getattr(more, name)
            if name != "links":
                self.problems += [f"{name} {one}: on two shards" for one in mine.keys() & theirs]
            mine.update(theirs)
        for merchant_id, row in more.merchants.items():
            mine = self.merchants.setdefault(merchant_id, row)
            if any(mine[column] != row[column] for column in COPIED):
                self.problems.append(f"merchant {merchant_id}: is not the same on all shards")
        self.suspended.update(more.suspended)
        self.marks += more.marks
        self.moved |= more.moved
        self.homes.update(dict.fromkeys((*more.accounts, *more.payments), shard))
        self.problems += more.problems


class Database:
    """A shard's connection that sees one moment."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection
        self._owned: set[str] | None = None
        self._region = ""

    async def open(self) -> None:
        """Read which buckets the shard answers for; without a row it has all."""
        found = await self._connection.fetchrow(BUCKETS)
        if found is not None:
            self._region, self._owned = found["region"], set()
            for first, last, state, _ in json.loads(found["ranges"]):
                if state != "MOVED":
                    numbers = range(first, last + 1)
                    self._owned |= {ALPHABET[n // 32] + ALPHABET[n % 32] for n in numbers}

    def answers_for(self, identifier: str) -> bool:
        """Say whether what an id names is here; what has no bucket is where its row is."""
        parts = identifier.split("_")
        if self._owned is None or len(parts) != 3 or parts[1] != self._region:
            return True
        return identifier[-2:] in self._owned

    async def keys(self, tenant_id: str, request_ids: Iterable[str]) -> dict[str, Row]:
        """Return the stored request keys that the shard answers for."""
        rows = await self._connection.fetch(KEYS, tenant_id, list(request_ids))
        return {
            row["request_id"]: dict(row)
            for row in rows
            if self.answers_for(row["resource_id"].partition(" ")[0])
        }

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
        stored = await self._by_id(PAYMENTS, list(merchants), list(payments))
        found = {one: row for one, row in stored.items() if self.answers_for(one)}
        opened = await self._by_id(ACCOUNTS, list(accounts))
        links = await self._by_id(LINKS, list(accounts))
        totals = await self._connection.fetch(TENANT_TOTALS, tenant_id)
        return Rows(
            payments=found,
            refunds=await self._by_id(REFUNDS, list(found)),
            transfers=await self._by_id(TRANSFERS, list(accounts), list(transfers)),
            accounts={one: row for one, row in opened.items() if self.answers_for(one)},
            merchants=await self._by_id(MERCHANTS, list(merchants)),
            links={one: row for one, row in links.items() if self.answers_for(one)},
            clearing=await self._by_id(CLEARING, tenant_id),
            suspended=await self._by_id(SUSPENDED, tenant_id),
            marks=[dict(row) for row in await self._connection.fetch(MARKS, list(accounts))],
            moved={one for one in (*stored, *opened) if not self.answers_for(one)},
            problems=[
                f"accounts of the tenant in {row['currency']} add up to {row['total']}, not to 0"
                for row in totals
            ],
        )

    async def _by_id(self, query: str, *arguments: Any) -> dict[str, Row]:
        return {row["id"]: dict(row) for row in await self._connection.fetch(query, *arguments)}


class Databases:
    """All shards as one."""

    def __init__(self, shards: Sequence[Database]) -> None:
        self._shards = shards

    async def keys(
        self, tenant_id: str, request_ids: Iterable[str]
    ) -> tuple[dict[str, Row], list[str]]:
        """Return the stored request keys, and those that are stored twice."""
        asked = list(request_ids)
        found: dict[str, Row] = {}
        twice: set[str] = set()
        for shard in self._shards:
            keys = await shard.keys(tenant_id, asked)
            # Of a reversal that found nothing no bucket is known: its copies may stay behind.
            twice |= {
                one
                for one in keys.keys() & found.keys()
                if keys[one]["resource_id"] or keys[one]["outcome"] != found[one]["outcome"]
            }
            found.update(keys)
        return found, [f"request {one!r}: its key is stored on two shards" for one in sorted(twice)]

    async def rows(self, tenant_id: str, **named: set[str]) -> Rows:
        """Return the named rows of all shards, and those that hang on them."""
        found = Rows()
        for number, shard in enumerate(self._shards):
            found.add(number, await shard.rows(tenant_id, **named))
        return found
