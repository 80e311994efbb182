"""What each statement inside apply takes, as Postgres itself counts it."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import asyncpg

SETTINGS: Final[Mapping[str, str]] = {"pg_stat_statements.track": "all"}
"""For a stack that is profiled: statements inside functions are counted as well."""

CONNECT_SECONDS_MAX: Final = 10.0

RESET: Final = "SELECT pg_stat_statements_reset()"

INSIDE: Final = """
SELECT query, calls, rows, total_exec_time AS milliseconds
  FROM pg_stat_statements WHERE NOT toplevel
 ORDER BY total_exec_time DESC
"""

_WHAT: Final = re.compile(
    r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(\w+)|\bFROM\s+(?!unnest)(\w+)", re.IGNORECASE
)


class Statement(NamedTuple):
    """One kind of statement, on one table."""

    what: str
    calls: int
    rows: int
    milliseconds: float


async def reset(dsn: str) -> None:
    """Begin to count anew."""
    await _fetch(dsn, RESET)


async def inside_functions(dsn: str) -> list[Statement]:
    """Return what was run by functions since, dearest first; the same kind and table as one."""
    found: dict[str, Statement] = {}
    for row in await _fetch(dsn, INSIDE):
        what = named(row["query"])
        before = found.get(what, Statement(what, 0, 0, 0.0))
        found[what] = Statement(
            what,
            before.calls + row["calls"],
            before.rows + row["rows"],
            before.milliseconds + row["milliseconds"],
        )
    return sorted(found.values(), key=lambda one: -one.milliseconds)


def named(query: str) -> str:
    """Return what a statement does, and to which table."""
    matched = _WHAT.search(query)
    if matched is None:
        return "other"
    if matched[3]:
        return f"SELECT FROM {matched[3]}"
    return f"{' '.join(matched[1].split()).upper()} {matched[2]}"


async def _fetch(dsn: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(
        dsn, timeout=CONNECT_SECONDS_MAX, command_timeout=CONNECT_SECONDS_MAX
    )
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()
