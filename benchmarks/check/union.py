"""Puts the tables of all shards into one, so that the checks hold of all of them together."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg

from deploy.local import layout

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

IDS: Final = {"requests": "split_part(resource_id, ' ', 1)", "payments": "id", "accounts": "id"}
"""The id that says in which bucket a row is, of each table whose rows move with their bucket."""

MOVED: Final = """
SELECT b.region, r.value ->> 0 AS first, r.value ->> 1 AS last
  FROM lane_buckets AS b, json_array_elements(b.ranges::json) AS r WHERE r.value ->> 2 = 'MOVED'
"""


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
            moved = await _moved(source)
            with tempfile.NamedTemporaryFile(prefix="tender-check-") as file:
                for table, columns in COLUMNS.items():
                    query = _query(table, columns.replace("$1", str(int(head))), moved)
                    await _copy(connection, source, table, query, Path(file.name))
        finally:
            await source.close()
    for table in COLUMNS:
        await connection.execute(f"ANALYZE {TEMPORARY}.{table}")


async def _moved(source: "asyncpg.Connection[Any]") -> Sequence[str]:
    """Return, as region and two characters, the buckets that another shard has since.

    Their rows stay behind and count for nothing.
    """
    return [
        f"{row['region']} {layout.bucket_name(number)}"
        for row in await source.fetch(MOVED)
        for number in range(int(row["first"]), int(row["last"]) + 1)
    ]


def _query(table: str, columns: str, moved: Sequence[str]) -> str:
    query = f"SELECT {columns} FROM public.{table}"
    if not moved or table not in IDS:
        return query
    bucket = f"concat(split_part({IDS[table]}, '_', 2), ' ', right({IDS[table]}, 2))"
    return f"{query} WHERE {bucket} <> ALL ('{{{','.join(moved)}}}'::text[])"


async def _copy(
    connection: "asyncpg.Connection[Any]",
    source: "asyncpg.Connection[Any]",
    table: str,
    query: str,
    place: Path,
) -> None:
    await source.copy_from_query(query, output=place, format="binary")
    await connection.copy_to_table(table, source=place, format="binary")
