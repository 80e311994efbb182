"""A lane has one owner: whoever lost it changes nothing, whatever it was doing (R2 to R6, R11)."""

import asyncio
from typing import Any

import asyncpg
import pytest

from processor import journal
from processor.domain import ownership
from processor.domain.accounts import Account
from processor.domain.draft import Event
from processor.domain.view import Item, Key
from processor.ports import (
    Ambiguous,
    Batch,
    Changed,
    Conflict,
    Fenced,
    Opened,
    Rejected,
    StorageError,
    StoredKey,
    Unavailable,
)
from storage.postgres.columns import ARGUMENTS
from storage.postgres.lane_store import PostgresLaneStore
from tests.conftest import Shard


def account(account_id: str = "acc_eu_1", version: int = 1, **changes: Any) -> Account:
    row = Account(
        account_id, "dev", "u", "CONSUMER_WALLET", "EUR", "OPEN", 0, 0, 0, version, 1, 1, "", ""
    )
    return row._replace(**changes)


def sealed(opened: Opened, batch: Batch) -> Batch:
    ownership = opened.ownership
    return journal.seal(
        batch,
        [Event("test_happened", "x", 1)],
        shard=ownership.shard,
        epoch=ownership.epoch,
        incarnation=ownership.incarnation,
    )


def batch_after(opened: Opened, *rows: Changed[Account], key: str = "") -> Batch:
    keys = [StoredKey(Key("dev", key, "CREATE_ACCOUNT", b"f", b"o", "x"), False)] if key else []
    return sealed(
        opened,
        Batch(opened.seq + 1, opened.hash, b"", b"", opened.clock, rows, (), (), (), (), keys, ()),
    )


def store(shard: Shard, *, tenure_seconds_min: float = 0) -> PostgresLaneStore:
    return PostgresLaneStore(shard.lane_url, "s1", tenure_seconds_min=tenure_seconds_min)


async def after(one: PostgresLaneStore, opened: Opened, batch: Batch) -> Opened:
    await one.apply(opened.ownership, batch)
    return opened._replace(seq=batch.seq, hash=batch.hash)


async def test_apply_has_as_many_arguments_as_the_store_sends(shard: Shard) -> None:
    connection = await asyncpg.connect(shard.owner_url)

    count = await connection.fetchval(
        "SELECT pronargs FROM pg_proc WHERE proname = 'apply_batch_v1'"
    )

    await connection.close()
    assert count == len(ARGUMENTS)


async def test_a_second_owner_waits_while_the_first_one_lives(shard: Shard) -> None:
    first, second = store(shard), store(shard)
    await first.open("first", evict=False)

    with pytest.raises(Unavailable):
        await second.open("second", evict=False)

    await first.close()
    opened = await second.open("second", evict=False)
    assert opened.ownership.epoch == 2
    await second.close()


async def test_an_evicted_owner_is_refused(shard: Shard) -> None:
    first, second = store(shard), store(shard)
    stale = await first.open("first", evict=False)
    await second.open("second", evict=True)

    with pytest.raises(StorageError):
        await first.apply(stale.ownership, batch_after(stale, Changed(0, account())))
    with pytest.raises(StorageError):
        await first.check(stale.ownership)

    loaded = await second.load([Item("account", "acc_eu_1")])
    assert loaded.values[Item("account", "acc_eu_1")] is None
    await first.close()
    await second.close()


async def test_an_epoch_raised_behind_the_owner_fences_it(shard: Shard) -> None:
    one = store(shard)
    stale = await one.open("first", evict=False)
    other = await asyncpg.connect(shard.owner_url)
    await other.execute("UPDATE lanes SET epoch = epoch + 1, owner = 'second'")
    await other.close()

    with pytest.raises(Fenced):
        await one.apply(stale.ownership, batch_after(stale, Changed(0, account())))
    with pytest.raises(Fenced):
        await one.check(stale.ownership)
    await one.close()


async def test_a_takeover_waits_for_the_statement_that_the_old_owner_is_running(
    shard: Shard,
) -> None:
    """R5: looking keys up before the old statement has ended would find nothing, wrongly."""
    first, second = store(shard), store(shard)
    opened = await first.open("first", evict=False)
    opened = await after(first, opened, batch_after(opened, Changed(0, account())))
    blocker = await asyncpg.connect(shard.owner_url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("SELECT 1 FROM accounts FOR UPDATE")
    running = asyncio.create_task(
        first.apply(
            opened.ownership,
            batch_after(opened, Changed(1, account(version=2, posted=5)), key="r"),
        )
    )
    await asyncio.sleep(0.2)

    taken = await second.open("second", evict=True)

    await transaction.rollback()
    await blocker.close()
    with pytest.raises(StorageError):
        await running
    found = await second.load([Item("account", "acc_eu_1"), Item("key", "r", "dev")])
    assert found.values[Item("key", "r", "dev")] is None
    survivor = found.values[Item("account", "acc_eu_1")]
    assert isinstance(survivor, Account)
    assert (survivor.version, survivor.posted) == (1, 0)
    assert (taken.seq, taken.ownership.epoch) == (1, 2)
    await first.close()
    await second.close()


async def test_a_raised_epoch_waits_for_a_statement_in_flight_even_without_eviction(
    shard: Shard,
) -> None:
    one = store(shard)
    opened = await one.open("first", evict=False)
    opened = await after(one, opened, batch_after(opened, Changed(0, account())))
    blocker = await asyncpg.connect(shard.owner_url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("SELECT 1 FROM accounts FOR UPDATE")
    applying = asyncio.create_task(
        one.apply(opened.ownership, batch_after(opened, Changed(1, account(version=2))))
    )
    await asyncio.sleep(0.2)
    other = await asyncpg.connect(shard.owner_url)
    raising = asyncio.create_task(other.execute("UPDATE lanes SET epoch = epoch + 1"))
    await asyncio.sleep(0.2)

    assert not raising.done()

    await transaction.rollback()
    await applying
    await raising
    await blocker.close()
    await other.close()
    await one.close()


async def test_a_batch_that_does_not_follow_the_journal_is_refused(shard: Shard) -> None:
    one = store(shard)
    opened = await one.open("first", evict=False)
    followed = await after(one, opened, batch_after(opened, Changed(0, account())))

    with pytest.raises(Conflict):
        await one.apply(opened.ownership, batch_after(opened, Changed(0, account("acc_eu_2"))))
    wrong_hash = followed._replace(hash=b"\1" * 32)
    with pytest.raises(Conflict):
        await one.apply(opened.ownership, batch_after(wrong_hash, Changed(0, account("acc_eu_2"))))
    await one.close()


async def test_a_stale_version_is_refused(shard: Shard) -> None:
    one = store(shard)
    opened = await one.open("first", evict=False)
    opened = await after(one, opened, batch_after(opened, Changed(0, account())))

    with pytest.raises(Conflict):
        await one.apply(
            opened.ownership, batch_after(opened, Changed(7, account(version=8, posted=5)))
        )
    await one.close()


async def test_a_request_key_is_stored_once(shard: Shard) -> None:
    one = store(shard)
    opened = await one.open("first", evict=False)
    opened = await after(one, opened, batch_after(opened, key="same"))

    with pytest.raises(Conflict):
        await one.apply(opened.ownership, batch_after(opened, key="same"))
    await one.close()


async def test_the_database_refuses_a_balance_under_its_floor(shard: Shard) -> None:
    one = store(shard)
    opened = await one.open("first", evict=False)

    with pytest.raises(Rejected) as refused:
        await one.apply(opened.ownership, batch_after(opened, Changed(0, account(posted=-1))))

    assert "accounts_available_above_floor" in str(refused.value)
    await one.close()


async def test_a_broken_connection_leaves_the_outcome_open(shard: Shard) -> None:
    one = store(shard)
    opened = await one.open("first", evict=False)
    admin = await asyncpg.connect(shard.owner_url)
    await admin.execute("SELECT pg_terminate_backend(backend_pid, 1000) FROM lanes")
    await admin.close()

    with pytest.raises(Ambiguous):
        await one.apply(opened.ownership, batch_after(opened, Changed(0, account())))
    await one.close()


async def test_an_unreplicated_commit_is_not_taken_for_durable(shard: Shard) -> None:
    """A cancelled wait for a standby commits here and says so with a warning only."""
    one = store(shard)
    opened = await one.open("first", evict=False)
    admin = await asyncpg.connect(shard.owner_url)
    await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await admin.execute("SELECT pg_reload_conf()")
    try:
        await asyncio.sleep(0.3)
        applying = asyncio.create_task(
            one.apply(opened.ownership, batch_after(opened, Changed(0, account()), key="r"))
        )
        await asyncio.sleep(0.3)
        await admin.execute("SET synchronous_commit = local")
        await admin.execute("SELECT pg_cancel_backend(backend_pid) FROM lanes")

        with pytest.raises(Ambiguous):
            await applying
    finally:
        await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()
    await one.close()


async def test_only_the_lane_role_may_write_and_nobody_rewrites_transfers(shard: Shard) -> None:
    reader = await asyncpg.connect(shard.reader_url)
    lane = await asyncpg.connect(shard.lane_url)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute("UPDATE accounts SET posted = 0")
    for statement in (
        "UPDATE transfers SET amount = 1",
        "DELETE FROM transfers",
        "UPDATE journal SET body = ''",
        "DELETE FROM journal",
        "DELETE FROM accounts",
        "SELECT secret_hash FROM api_keys",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await lane.execute(statement)
    await reader.close()
    await lane.close()


async def test_an_owner_that_has_only_just_taken_over_is_not_evicted(shard: Shard) -> None:
    first, second = store(shard), store(shard, tenure_seconds_min=60)
    await first.open("first", evict=False)

    with pytest.raises(Unavailable):
        await second.open("second", evict=True)
    await first.close()


async def test_a_batch_decided_with_other_buckets_is_refused(shard: Shard) -> None:
    one = store(shard)
    opened = await one.open("first", evict=False)
    first = ownership.everything("eu")
    opened = await after(one, opened, resealed(opened, buckets=first))
    second = first.with_state(0, 9, ownership.FROZEN)

    for version in (0, 2):
        with pytest.raises(Conflict):
            await one.apply(opened.ownership, resealed(opened, buckets_version=version))
    skipped = resealed(opened, buckets_version=1, buckets=second._replace(version=3))
    with pytest.raises(Conflict):
        await one.apply(opened.ownership, skipped)
    opened = await after(one, opened, resealed(opened, buckets_version=1, buckets=second))
    await one.close()
    again = await one.open("first", evict=False)
    await one.close()

    assert again.buckets == second


def resealed(opened: Opened, **changes: Any) -> Batch:
    """Return a batch that opens an account, changed and then sealed."""
    row = Changed(0, account(f"acc_eu_{opened.seq}"))
    return sealed(opened, batch_after(opened, row)._replace(**changes))
