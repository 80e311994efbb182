"""Brings a database to this code's schema: numbered SQL files, once each, in order, forward."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg

MIGRATIONS = Path(__file__).parent / "migrations"
CONSUMER_MIGRATIONS = Path(__file__).parent / "migrations_consumers"
OPERATION_MIGRATIONS = Path(__file__).parent / "migrations_operations"

FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")

RUNNER_LOCK = 0x74656E646572  # "tender" in ASCII: one runner at a time in one database.
RUNNER_LOCK_WAIT_SECONDS_MAX = 120  # Another runner may be busy with a long migration.
TABLE_LOCK_WAIT_SECONDS_MAX = 5  # A queued DDL lock blocks every later reader: better to give up.
CONNECT_SECONDS_MAX = 10

CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS public.schema_migrations (
    version    INTEGER     NOT NULL,
    name       TEXT        NOT NULL,
    checksum   TEXT        NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version)
)
"""
TABLE_EXISTS = "SELECT to_regclass('public.schema_migrations') IS NOT NULL"
SELECT_APPLIED = """
SELECT version, name, checksum, applied_at
FROM public.schema_migrations
ORDER BY version
"""
INSERT_APPLIED = """
INSERT INTO public.schema_migrations (version, name, checksum)
VALUES ($1, $2, $3)
"""


class MigrationError(Exception):
    """The migrations in the code and in the database do not fit together."""


@dataclass(frozen=True)
class Migration:
    """One file: its number, its name with the number, its text and the SHA-256 of its bytes."""

    version: int
    name: str
    sql: str
    checksum: str


@dataclass(frozen=True)
class MigrationStatus:
    """A migration of the code, and when this database got it (None: not yet)."""

    version: int
    name: str
    applied_at: datetime | None


@dataclass(frozen=True)
class Applied:
    """A row of schema_migrations."""

    name: str
    checksum: str
    applied_at: datetime


def load(folder: Path = MIGRATIONS) -> list[Migration]:
    """The migrations in the folder, numbered 1, 2, 3 without a gap."""
    migrations = [_read(path) for path in sorted(folder.glob("*.sql"))]
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise MigrationError(f"expected migration {expected:04d}, found {migration.name}")
    return migrations


def _read(path: Path) -> Migration:
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        raise MigrationError(f"{path.name} is not named NNNN_name.sql")
    content = path.read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    return Migration(int(match["version"]), path.stem, content.decode(), checksum)


async def migrate(dsn: str, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing and return its names; a second runner waits for the first.

    Each file runs in a transaction of its own: one that fails leaves nothing of itself, and those
    before it stay.
    """
    migrations = load(folder)
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS_MAX)
    try:
        await connection.execute(f"SET lock_timeout = '{RUNNER_LOCK_WAIT_SECONDS_MAX}s'")
        # Held by the session: closing the connection lets it go, however this ends.
        await connection.execute("SELECT pg_advisory_lock($1)", RUNNER_LOCK)
        await connection.execute(CREATE_TABLE)
        missing = _missing(migrations, await _applied(connection))
        for migration in missing:
            await _apply(connection, migration)
        return [migration.name for migration in missing]
    finally:
        await connection.close()


async def status(dsn: str, folder: Path = MIGRATIONS) -> list[MigrationStatus]:
    """Every migration of the code and when it was applied; changes nothing."""
    migrations = load(folder)
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS_MAX)
    try:
        exists = await connection.fetchval(TABLE_EXISTS)
        applied = await _applied(connection) if exists else {}
    finally:
        await connection.close()
    _missing(migrations, applied)
    return [_status(migration, applied.get(migration.version)) for migration in migrations]


def _status(migration: Migration, applied: Applied | None) -> MigrationStatus:
    return MigrationStatus(
        migration.version, migration.name, None if applied is None else applied.applied_at
    )


async def _applied(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[int, Applied]:
    rows = await connection.fetch(SELECT_APPLIED)
    return {
        row["version"]: Applied(row["name"], row["checksum"], row["applied_at"]) for row in rows
    }


def _missing(migrations: Sequence[Migration], applied: Mapping[int, Applied]) -> list[Migration]:
    """What is still to do, once the database's history is shown to be a beginning of the code's."""
    if applied and max(applied) > len(migrations):
        raise MigrationError(
            f"the database is ahead of this code: it has {applied[max(applied)].name},"
            f" the code ends at {len(migrations):04d}"
        )
    for migration in migrations[: max(applied, default=0)]:
        row = applied.get(migration.version)
        if row is None:
            raise MigrationError(f"the database has later migrations but not {migration.name}")
        if row.checksum != migration.checksum:
            raise MigrationError(f"{migration.name} was changed after it had been applied")
    return list(migrations[len(applied) :])


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{TABLE_LOCK_WAIT_SECONDS_MAX}s'")
        try:
            await connection.execute(migration.sql)
        except asyncpg.PostgresError as error:
            raise MigrationError(f"{migration.name} failed: {error}") from error
        await connection.execute(
            INSERT_APPLIED, migration.version, migration.name, migration.checksum
        )
