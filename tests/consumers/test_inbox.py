"""The inbox on a real Postgres: an effect and its ids, or neither; and whose fault a failure is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from processor.consumers.ports import DependencyDown, Rejected, TryAgain
from storage.postgres.inbox import PostgresInbox, translated
from tests.consumers.conftest import Office, eventually

EFFECT = "INSERT INTO effects (event_id, entity_id, version) VALUES ($1, 'pay_1', $2)"


@pytest.fixture
async def inbox(office: Office) -> AsyncIterator[PostgresInbox]:
    inbox = PostgresInbox(office.url, "test-inbox")
    yield inbox
    await inbox.close()


async def noted(office: Office) -> list[tuple[str, str]]:
    rows = await office.fetch("SELECT consumer, event_id FROM inbox ORDER BY consumer, event_id")
    return [(row["consumer"], row["event_id"]) for row in rows]


async def test_ids_are_new_once_for_each_consumer(inbox: PostgresInbox, office: Office) -> None:
    async with inbox.batch("one", ["a", "b"]) as (_, first):
        pass
    async with inbox.batch("one", ["b", "c"]) as (_, second):
        pass
    async with inbox.batch("two", ["a"]) as (_, of_another):
        pass

    assert (first, second, of_another) == ({"a", "b"}, {"c"}, {"a"})
    assert await noted(office) == [("one", "a"), ("one", "b"), ("one", "c"), ("two", "a")]


async def test_an_id_that_is_there_twice_is_noted_once(inbox: PostgresInbox) -> None:
    async with inbox.batch("one", ["a", "a"]) as (_, fresh):
        assert fresh == {"a"}


async def test_effect_and_ids_are_committed_together(inbox: PostgresInbox, office: Office) -> None:
    async with inbox.batch("one", ["a"]) as (transaction, _):
        await transaction.execute(EFFECT, "a", 1)
        assert await office.effects() == []

    assert await office.effects() == ["a"]
    assert await noted(office) == [("one", "a")]


async def test_when_the_block_raises_nothing_is_left(inbox: PostgresInbox, office: Office) -> None:
    async def handle() -> None:
        async with inbox.batch("one", ["a"]) as (transaction, _):
            await transaction.execute(EFFECT, "a", 1)
            raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        await handle()

    async with inbox.batch("one", ["a"]) as (_, fresh):
        assert fresh == {"a"}
    assert await office.effects() == []


async def test_a_handler_that_is_cancelled_leaves_nothing(
    inbox: PostgresInbox, office: Office
) -> None:
    async def hang() -> None:
        async with inbox.batch("one", ["a"]) as (transaction, _):
            await transaction.execute("SELECT pg_sleep(600)")

    task = asyncio.create_task(hang())
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.wait([task])

    async with inbox.batch("one", ["a"]) as (_, fresh):
        assert fresh == {"a"}


async def test_a_statement_that_failed_and_was_passed_over_commits_nothing(
    inbox: PostgresInbox, office: Office
) -> None:
    async def pass_over() -> None:
        async with inbox.batch("one", ["a"]) as (transaction, _):
            with contextlib.suppress(asyncpg.CheckViolationError):
                await transaction.execute(EFFECT, "a", 6666)

    with pytest.raises(Rejected):
        await pass_over()

    assert await noted(office) == []


async def test_a_savepoint_undoes_a_part(inbox: PostgresInbox, office: Office) -> None:
    async with inbox.batch("one", ["a"]) as (transaction, _):
        await transaction.execute("SAVEPOINT before")
        with pytest.raises(asyncpg.CheckViolationError):
            await transaction.execute(EFFECT, "a", 6666)
        await transaction.execute("ROLLBACK TO SAVEPOINT before")

    assert await noted(office) == [("one", "a")]


async def test_a_refused_row_names_the_constraint_and_not_the_row(inbox: PostgresInbox) -> None:
    with pytest.raises(Rejected) as refused:
        async with inbox.batch("one", ["a"]) as (transaction, _):
            await transaction.execute(EFFECT, "secret", 6666)

    assert "effects_version_is_no_poison" in str(refused.value)
    assert "secret" not in str(refused.value)


async def test_a_missing_table_is_nobodys_event(inbox: PostgresInbox) -> None:
    with pytest.raises(DependencyDown, match="42P01"):
        async with inbox.batch("one", ["a"]) as (transaction, _):
            await transaction.execute("SELECT * FROM not_migrated_yet")


async def test_a_mistake_of_the_handler_is_not_taken_for_the_database(
    inbox: PostgresInbox,
) -> None:
    with pytest.raises(FileNotFoundError):
        async with inbox.batch("one", ["a"]):
            raise FileNotFoundError("template.txt")


async def test_a_value_of_the_wrong_kind_is_the_event_s(inbox: PostgresInbox) -> None:
    with pytest.raises(Rejected):
        async with inbox.batch("one", ["a"]) as (transaction, _):
            await transaction.execute(EFFECT, 5, "five")


async def test_a_session_that_was_ended_is_told_and_the_next_one_works(
    inbox: PostgresInbox, office: Office
) -> None:
    async def handle() -> None:
        async with inbox.batch("one", ["a"]) as (transaction, _):
            await office.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'test-inbox' AND datname = current_database()"
            )
            await transaction.execute(EFFECT, "a", 1)

    with pytest.raises(DependencyDown):
        await handle()

    async with inbox.batch("one", ["a"]) as (_, fresh):
        assert fresh == {"a"}


async def test_a_server_that_is_not_there_is_told_without_its_url() -> None:
    nowhere = PostgresInbox("postgresql://ada:secret@127.0.0.1:1/none", "test-inbox")

    with pytest.raises(DependencyDown) as told:
        async with nowhere.batch("one", ["a"]):
            raise AssertionError("there is no such server")

    assert "secret" not in str(told.value)


async def test_two_members_with_the_same_event_for_a_moment_give_it_one_effect(
    inbox: PostgresInbox, office: Office
) -> None:
    other = PostgresInbox(office.url, "test-inbox-2")

    async def handle(mine: PostgresInbox) -> None:
        async with mine.batch("one", ["a", "b"]) as (transaction, fresh):
            await asyncio.sleep(0.1)
            for event_id in fresh:
                await transaction.execute(EFFECT, event_id, 1)

    await asyncio.gather(handle(inbox), handle(other))
    await other.close()

    assert sorted(await office.effects()) == ["a", "b"]


async def test_old_ids_are_deleted_some_at_a_time(office: Office) -> None:
    inbox = PostgresInbox(office.url, "test-inbox", retention=timedelta(days=2))
    async with inbox.batch("one", ["old-1", "old-2", "old-3", "new"]):
        pass
    async with inbox.batch("two", ["old-1"]):
        pass
    await office.fetch(
        "UPDATE inbox SET handled_at = now() - interval '3 days' WHERE event_id LIKE 'old%'"
    )

    deleted = [await inbox.forget("one", 2) for _ in range(3)]
    await inbox.close()

    assert deleted == [2, 1, 0]
    assert await noted(office) == [("one", "new"), ("two", "old-1")]


def test_conflicts_of_transactions_are_tried_again() -> None:
    assert isinstance(translated(asyncpg.DeadlockDetectedError("x")), TryAgain)
    assert isinstance(translated(asyncpg.SerializationError("x")), TryAgain)


def test_what_no_event_can_help_is_waited_for() -> None:
    for error in (
        asyncpg.DiskFullError("x"),
        asyncpg.AdminShutdownError("x"),
        asyncpg.ReadOnlySQLTransactionError("x"),
        asyncpg.InsufficientPrivilegeError("x"),
        asyncpg.TooManyConnectionsError("x"),
    ):
        assert isinstance(translated(error), DependencyDown)


async def test_the_connection_is_given_back(inbox: PostgresInbox, office: Office) -> None:
    async with inbox.batch("one", ["a"]):
        pass

    await inbox.close()

    async def is_gone() -> bool:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        return not await office.fetch(f"{query} AND application_name = 'test-inbox'")

    await eventually(is_gone, "closed connection")
