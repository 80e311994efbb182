"""Puts the tables of all shards into one, so that the checks hold of all of them together."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import asyncpg

COLUMNS: Final = {
    "requests": "tenant_id, request_id, method, resource_id, seq - $1 AS seq",
    "payments": "id, tenant_id, merchant_id, payer_account_id, settlement_account_id, state,"
    " amount, captured, refunded, fee, created_at",
    "accounts": "id, currency, posted",
    "legs_received": "source, number, payment_id, outcome",
}
"""What is compared, of which table; what was journaled before the load has no seq above 0."""

JOURNAL: Final = "CREATE TEMP TABLE journal (seq bigint, created_at timestamptz)"
"""Empty: before the load there are no payments."""

TEMPORARY: Final = "pg_temp"


async def gather(
    connection: "asyncpg.Connection[Any]", shards: Mapping[str, int], settings: Mapping[str, str]
) -> None:
    """Copy what is compared of every shard into temporary tables of one connection.

    `shards` has the newest row of each one's journal before the load, by its database. Temporary
    tables stand before those of the same name, so that a check need not know.
    """
    await connection.execute(JOURNAL)
    for table, columns in COLUMNS.items():
        await connection.execute(
            f"CREATE TEMP TABLE {table} AS SELECT {columns.replace('$1', '0')}"
            f" FROM public.{table} WHERE false"
        )
    for dsn, head in shards.items():
        source = await asyncpg.connect(dsn, server_settings=dict(settings))
        try:
            with tempfile.NamedTemporaryFile(prefix="tender-check-") as file:
                for table, columns in COLUMNS.items():
                    await _copy(connection, source, table, columns, head, Path(file.name))
        finally:
            await source.close()
    for table in COLUMNS:
        await connection.execute(f"ANALYZE {TEMPORARY}.{table}")


async def _copy(
    connection: "asyncpg.Connection[Any]",
    source: "asyncpg.Connection[Any]",
    table: str,
    columns: str,
    head: int,
    place: Path,
) -> None:
    query = f"SELECT {columns.replace('$1', str(int(head)))} FROM public.{table}"
    await source.copy_from_query(query, output=place, format="binary")
    await connection.copy_to_table(table, source=place, format="binary")
