"""A projection that is being built beside the one that is read: filled in bulk, then folded by SQL.

What a journal says is true, in one order: no image has to be compared with another while it is
written down, and the newest of each and the totals of days are made at the end, by sorting once.
"""

from collections.abc import Sequence
from typing import Any, Final

from services.reporting import images, store
from services.reporting.images import Known
from services.reporting.records import AccountImage, MerchantImage, Records
from services.reporting.sql import Columns

SCHEMA: Final = "report_new"
OLD: Final = "report_old"
FLUSH_ROWS: Final = 20_000
"""Images in memory before they are written."""
ACCOUNTS_MAX: Final = 200_000
"""Accounts of which the newest image is kept in memory, some hundred MiB; then they are written."""

SETTINGS: Final = (
    "SET work_mem = '256MB'; SET maintenance_work_mem = '256MB'; SET synchronous_commit = off;"
)

_TABLES: Final = """
SELECT c.relname, coalesce(array_to_string(c.reloptions, ', '), '') AS options,
       obj_description(c.oid, 'pg_class') AS said
  FROM pg_class AS c
 WHERE c.relnamespace = 'report'::regnamespace AND c.relkind = 'r'
 ORDER BY c.relname
"""
_INDEXES: Final = """
SELECT i.tablename, i.indexname, i.indexdef, c.conname IS NOT NULL AS is_key
  FROM pg_indexes AS i
  LEFT JOIN pg_constraint AS c
    ON c.conname = i.indexname AND c.connamespace = 'report'::regnamespace AND c.contype = 'p'
 WHERE i.schemaname = 'report'
 ORDER BY i.tablename, i.indexname
"""

_FOLD: Final[Sequence[tuple[str, str]]] = (
    (
        "payments",
        f"""
INSERT INTO payments ({store.PAYMENTS.listed})
SELECT DISTINCT ON (p.id) {", ".join(f"p.{name}" for name in store.PAYMENTS.names[:-1])},
       coalesce(e.earlier, '[]')
  FROM staged_payments AS p
  LEFT JOIN (SELECT id, jsonb_agg(jsonb_build_array(day, version, captured, fee)
                                  ORDER BY version) AS earlier
               FROM (SELECT id, version, captured, fee, day,
                            lead(day) OVER (PARTITION BY id ORDER BY version) AS following
                       FROM (SELECT id, version, captured, fee,
                                    (updated_at AT TIME ZONE 'UTC')::date
                                    - date '1970-01-01' AS day,
                                    count(*) OVER (PARTITION BY id) AS images
                               FROM staged_payments) AS all_days
                      WHERE images > 1) AS days
              WHERE following <> day
              GROUP BY id) AS e ON e.id = p.id
 ORDER BY p.id, p.version DESC
""",
    ),
    (
        "refunds",
        f"""
INSERT INTO refunds ({store.REFUNDS.listed})
SELECT DISTINCT ON (id) {store.REFUNDS.listed}
  FROM staged_refunds
 ORDER BY id, state = '{images.PENDING}', told_at DESC
""",
    ),
    (
        "accounts",
        f"""
INSERT INTO accounts ({store.ACCOUNTS.listed})
SELECT DISTINCT ON (id) {store.ACCOUNTS.listed}
  FROM staged_accounts
 ORDER BY id, version DESC
""",
    ),
    (
        "merchants",
        f"""
INSERT INTO merchants ({store.MERCHANTS.listed})
SELECT DISTINCT ON (id) id, tenant_id, reference, display_name,
       string_to_array(account_ids, ' '), version, shard, incarnation, told_at
  FROM staged_merchants
 ORDER BY id, version DESC
""",
    ),
    (
        "day_states",
        f"""
INSERT INTO day_states ({store.DAY_STATES.listed})
SELECT tenant_id, merchant_id, currency, (created_at AT TIME ZONE 'UTC')::date, state, count(*),
       sum(amount)
  FROM payments
 GROUP BY 1, 2, 3, 4, 5
""",
    ),
    (
        "day_volumes",
        f"""
INSERT INTO day_volumes ({store.DAY_VOLUMES.listed})
SELECT tenant_id, merchant_id, currency, day, sum(captured), sum(fee), sum(refunds), sum(refunded),
       sum(fee_refunded)
  FROM (SELECT tenant_id, merchant_id, currency, (updated_at AT TIME ZONE 'UTC')::date AS day,
               captured, fee, 0 AS refunds, 0 AS refunded, 0 AS fee_refunded
          FROM payments
         WHERE captured <> 0 AND earlier = '[]'
        UNION ALL
        SELECT tenant_id, merchant_id, currency, date '1970-01-01' + s.day,
               s.captured - coalesce(lag(s.captured) OVER w, 0),
               s.fee - coalesce(lag(s.fee) OVER w, 0), 0, 0, 0
          FROM payments AS p
         CROSS JOIN LATERAL (
               SELECT (it ->> 0)::integer AS day, (it ->> 1)::bigint AS version,
                      (it ->> 2)::bigint AS captured, (it ->> 3)::bigint AS fee
                 FROM jsonb_array_elements(p.earlier) AS it
               UNION ALL
               SELECT (p.updated_at AT TIME ZONE 'UTC')::date - date '1970-01-01', p.version,
                      p.captured, p.fee) AS s
         WHERE p.earlier <> '[]'
        WINDOW w AS (PARTITION BY p.id ORDER BY s.version)
        UNION ALL
        SELECT tenant_id, merchant_id, currency, (created_at AT TIME ZONE 'UTC')::date, 0, 0, 1,
               amount, fee_refunded
          FROM refunds
         WHERE state = '{images.SUCCEEDED}') AS parts
 GROUP BY 1, 2, 3, 4
""",
    ),
)

_STAGED: Final = {
    "staged_payments": Columns(store.PAYMENTS.names[:-1], store.PAYMENTS.types[:-1]),
    "staged_refunds": store.REFUNDS,
    "staged_accounts": store.ACCOUNTS,
    "staged_merchants": store.MERCHANTS,
}


class Staging:
    """The schema that is being built."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._records = Records()
        self._accounts: dict[str, AccountImage] = {}
        self._merchants: dict[str, MerchantImage] = {}

    async def create(self) -> None:
        """Make the tables of `report` once more, empty and without indexes."""
        run = self._connection.execute
        await run(SETTINGS)
        await run(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        await run(f"DROP SCHEMA IF EXISTS {OLD} CASCADE")
        await run(f"CREATE SCHEMA {SCHEMA}")
        await run(f"SET search_path = {SCHEMA}, public")
        for table in await self._connection.fetch(_TABLES):
            name = table["relname"]
            await run(
                f"CREATE TABLE {name} (LIKE report.{name}"
                " INCLUDING CONSTRAINTS INCLUDING DEFAULTS INCLUDING COMMENTS)"
            )
            if table["options"]:
                await run(f"ALTER TABLE {name} SET ({table['options']})")
            if table["said"]:
                said = table["said"].replace("'", "''")
                await run(f"COMMENT ON TABLE {name} IS '{said}'")
        for name, columns in _STAGED.items():
            listed = ", ".join(map(" ".join, zip(columns.names, columns.types, strict=True)))
            # Nothing of it is to outlive this.
            await run(f"CREATE UNLOGGED TABLE {name} ({listed})")

    @property
    def records(self) -> Records:
        """Where the next rows are to be collected; `flush` takes them from there."""
        return self._records

    @property
    def is_full(self) -> bool:
        """Whether it is time to flush."""
        return len(self._records.transfers) + len(self._records.payments) >= FLUSH_ROWS

    async def flush(self) -> None:
        """Write down what was collected."""
        records, self._records = self._records, Records()
        # Of a history that is true a later image has a higher version.
        for account in records.accounts:
            known = self._accounts.get(account.id)
            if known is None or account.version > known.version:
                self._accounts[account.id] = account
        for merchant in records.merchants:
            before = self._merchants.get(merchant.id)
            if before is None or merchant.version > before.version:
                self._merchants[merchant.id] = merchant
        await self._copy(
            "staged_payments", [store.payment(Known(it))[:-1] for it in records.payments]
        )
        await self._copy("staged_refunds", [store.refund(it) for it in records.refunds])
        await self._copy(
            "transfers", [store.transfer(it) for it in records.transfers], store.TRANSFERS
        )
        if len(self._accounts) > ACCOUNTS_MAX:
            await self._flush_accounts()

    async def _flush_accounts(self) -> None:
        found, self._accounts = self._accounts, {}
        await self._copy("staged_accounts", [store.account(it) for it in found.values()])

    async def _copy(
        self, table: str, rows: Sequence[tuple[Any, ...]], columns: Columns | None = None
    ) -> None:
        if rows:
            names = (columns or _STAGED[table]).names
            await self._connection.copy_records_to_table(
                table, records=rows, columns=list(names), schema_name=SCHEMA
            )

    async def fold(self) -> None:
        """Make the newest of each and the totals of what was written down; then the indexes."""
        await self.flush()
        await self._flush_accounts()
        merchants = [store.merchant(it) for it in self._merchants.values()]
        await self._copy("staged_merchants", merchants)
        await self._connection.execute("ANALYZE staged_payments, staged_refunds, staged_accounts")
        for table, statement in _FOLD:
            await self._connection.execute(statement)
            if table in {"payments", "refunds"}:
                await self._connection.execute(f"ANALYZE {table}")
        for name in _STAGED:
            await self._connection.execute(f"DROP TABLE {name}")
        for index in await self._connection.fetch(_INDEXES):
            table, name = index["tablename"], index["indexname"]
            made = index["indexdef"].replace(f" ON report.{table} ", f" ON {SCHEMA}.{table} ")
            await self._connection.execute(made)
            if index["is_key"]:
                await self._connection.execute(
                    f"ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}"
                )

    async def write(self, records: Records) -> None:
        """Take in what was told since, as the service does."""
        async with self._connection.transaction():
            await store.write(self._connection, records)

    async def note(self, places: Sequence[tuple[Any, ...]]) -> None:
        """Write down how far each history was read."""
        await self._connection.executemany(
            f"INSERT INTO positions ({store.POSITIONS.listed}) VALUES ($1, $2, $3, $4, $5, $6)",
            places,
        )

    async def analyze(self) -> None:
        """Let the planner know what is there."""
        for table in await self._connection.fetch(_TABLES):
            await self._connection.execute(f"ANALYZE {table['relname']}")
