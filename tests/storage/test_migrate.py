"""The migration runner against a real Postgres: once each, in order, or a clear refusal."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local import database
from deploy.local.stack import Stack, StackOptions
from storage import migrate

DATABASE_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    options = StackOptions(
        tmp_path_factory.mktemp("migrate"), replicas=0, with_servers=False, migrations=None
    )
    with Stack(options) as stack:
        yield stack


@pytest.fixture
async def dsn(server: Stack) -> str:
    """An empty database of the test's own."""
    name = f"migrate_{next(DATABASE_NUMBERS)}"
    owner_url = server.endpoints.owner_url
    await _execute(owner_url, f"CREATE DATABASE {name}")
    return owner_url.replace(f"/{database.NAME}?", f"/{name}?")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (n INTEGER);")
    (tmp_path / "0002_second.sql").write_text(
        "CREATE TABLE second (n INTEGER); INSERT INTO first (n) VALUES (1);"
    )
    return tmp_path


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def _value(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_an_empty_database_gets_every_migration_in_order(dsn: str, folder: Path) -> None:
    applied = await migrate.migrate(dsn, folder)

    assert applied == ["0001_first", "0002_second"]
    assert await _value(dsn, "SELECT n FROM first") == 1


async def test_a_second_run_applies_nothing(dsn: str, folder: Path) -> None:
    await migrate.migrate(dsn, folder)

    assert await migrate.migrate(dsn, folder) == []


async def test_only_what_is_new_is_applied(dsn: str, folder: Path) -> None:
    await migrate.migrate(dsn, folder)
    (folder / "0003_third.sql").write_text("ALTER TABLE second ADD COLUMN m INTEGER;")

    assert await migrate.migrate(dsn, folder) == ["0003_third"]


async def test_of_two_runners_at_once_one_waits_and_both_succeed(dsn: str, folder: Path) -> None:
    (folder / "0003_slow.sql").write_text("SELECT pg_sleep(0.3); CREATE TABLE slow (n INTEGER);")

    both = await asyncio.gather(migrate.migrate(dsn, folder), migrate.migrate(dsn, folder))

    assert sorted(both, key=len) == [[], ["0001_first", "0002_second", "0003_slow"]]


async def test_a_file_that_fails_leaves_nothing_and_those_before_it_stay(
    dsn: str, folder: Path
) -> None:
    (folder / "0003_broken.sql").write_text("CREATE TABLE half (n INTEGER); SELECT 1 / 0;")

    with pytest.raises(migrate.MigrationError, match="0003_broken failed: division by zero"):
        await migrate.migrate(dsn, folder)

    assert await _value(dsn, "SELECT to_regclass('half')") is None
    assert await _value(dsn, "SELECT max(version) FROM schema_migrations") == 2


async def test_a_file_that_was_changed_after_it_had_been_applied_is_refused(
    dsn: str, folder: Path
) -> None:
    await migrate.migrate(dsn, folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE other (n INTEGER);")

    with pytest.raises(migrate.MigrationError, match="0001_first was changed"):
        await migrate.migrate(dsn, folder)


async def test_a_database_that_is_ahead_of_the_code_is_refused(dsn: str, folder: Path) -> None:
    await migrate.migrate(dsn, folder)
    (folder / "0002_second.sql").unlink()

    with pytest.raises(migrate.MigrationError, match="ahead of this code: it has 0002_second"):
        await migrate.migrate(dsn, folder)


async def test_a_gap_in_the_database_is_refused(dsn: str, folder: Path) -> None:
    await migrate.migrate(dsn, folder)
    await _execute(dsn, "DELETE FROM schema_migrations WHERE version = 1")

    with pytest.raises(migrate.MigrationError, match="later migrations but not 0001_first"):
        await migrate.migrate(dsn, folder)


async def test_a_table_that_stays_locked_ends_the_run_instead_of_blocking_its_readers(
    dsn: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "TABLE_LOCK_WAIT_SECONDS_MAX", 1)
    await migrate.migrate(dsn, folder)
    (folder / "0003_alter.sql").write_text("ALTER TABLE first ADD COLUMN m INTEGER;")
    reader = await asyncpg.connect(dsn)

    try:
        async with reader.transaction():
            await reader.fetch("SELECT n FROM first")
            with pytest.raises(migrate.MigrationError, match="lock timeout"):
                await migrate.migrate(dsn, folder)
    finally:
        await reader.close()


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("0004_gap.sql", "expected migration 0003, found 0004_gap"),
        ("0002_twice.sql", "expected migration 0003, found 0002_twice"),
        ("third.sql", "third.sql is not named NNNN_name.sql"),
    ],
)
def test_files_that_do_not_count_from_one_without_a_gap_are_refused(
    folder: Path, name: str, refusal: str
) -> None:
    (folder / name).write_text("SELECT 1;")

    with pytest.raises(migrate.MigrationError, match=refusal):
        migrate.load(folder)


async def test_status_tells_what_is_applied_and_changes_nothing(dsn: str, folder: Path) -> None:
    before = await migrate.status(dsn, folder)
    table_before = await _value(dsn, "SELECT to_regclass('schema_migrations')")
    await migrate.migrate(dsn, folder)
    (folder / "0003_third.sql").write_text("SELECT 1;")
    after = await migrate.status(dsn, folder)

    assert [entry.applied_at for entry in before] == [None, None]
    assert table_before is None
    assert [entry.name for entry in after if entry.applied_at is None] == ["0003_third"]
