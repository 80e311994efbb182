"""Loads the generator's histories beside the ledger and asks the database what does not fit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg

from benchmarks.check import statements, union
from benchmarks.load.answers import STATES
from benchmarks.load.world import World

CONNECT_SECONDS_MAX: Final = 10.0
STATEMENT_SECONDS_MAX: Final = 1_800.0
SHOWN_MAX: Final = 5

# Every row is read once, so the plans are those for all rows.
SETTINGS: Final = {"application_name": "tender bench check", "jit": "off", "work_mem": "256MB"}


class Found(NamedTuple):
    """What came of the check; problems are examples, `problem_count` is of all."""

    answers: int
    checks: int
    problem_count: int
    problems: list[str]

    @property
    def ok(self) -> bool:
        """Whether everything fits."""
        return not self.problem_count


async def check(
    dsn: str,
    histories: Sequence[Path],
    world: World,
    *,
    tenant_id: str,
    head_before: int,
    others: Mapping[str, int] | None = None,
) -> Found:
    """Compare histories with the ledger; call it when nobody is paying any more.

    `head_before` is the journal's newest row before the load: what is older is left alone.
    `others` has that row by the database of each other shard, which are looked at together.
    """
    checks = statements.CHECKS
    connection = await asyncpg.connect(
        dsn,
        timeout=CONNECT_SECONDS_MAX,
        command_timeout=STATEMENT_SECONDS_MAX,
        server_settings=SETTINGS,
    )
    try:
        if others is not None:
            await union.gather(connection, {dsn: head_before, **others}, SETTINGS)
            head_before, checks = 0, checks | statements.CHECKS_BETWEEN
        await _load(connection, histories, world)
        answers = await connection.fetchval("SELECT count(*) FROM told")
        given = (tenant_id, head_before, world.funds, world.fee_basis_points, world.fee_fixed)
        problems: list[str] = []
        count = 0
        for name, statement in checks.items():
            rows = await _problems(connection, statement, given)
            count += rows[0][0] if rows else 0
            problems += [f"{name}: {text}" for _, text in rows]
        return Found(answers, len(checks), count, problems)
    finally:
        await connection.close()


async def _problems(
    connection: "asyncpg.Connection[asyncpg.Record]", statement: str, given: tuple[object, ...]
) -> list[tuple[int, str]]:
    # Each statement gets what it names; Postgres refuses parameters that it cannot give a type.
    types = ("text", "bigint", "bigint", "bigint", "bigint")
    used = [place for place in range(1, 6) if f"${place}" in statement]
    for new, old in enumerate(used, start=1):
        statement = statement.replace(f"${old}", f"${new}::{types[old - 1]}")
    rows = await connection.fetch(
        f"SELECT count(*) OVER (), problem FROM ({statement}) AS found (problem) LIMIT {SHOWN_MAX}",
        *(given[place - 1] for place in used),
    )
    return [(row[0], row[1]) for row in rows]


async def _load(
    connection: "asyncpg.Connection[asyncpg.Record]", histories: Sequence[Path], world: World
) -> None:
    await connection.execute(statements.TABLES)
    for history in histories:
        await connection.copy_to_table("told", source=history, format="text")
    await connection.copy_records_to_table(
        "payers", records=((number, world.payer(number)) for number in range(world.payers_count))
    )
    await connection.copy_records_to_table(
        "shops",
        records=[(number, one.id, one.account_id) for number, one in enumerate(world.merchants)],
    )
    await connection.copy_records_to_table("states", records=list(STATES.items()))
    await connection.execute(statements.GATHERED)
