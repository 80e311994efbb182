"""What Redis remembers of a journal's head, and what a lane says when its journal has less."""

import asyncio

import pytest
import redis
from structlog.testing import capture_logs

from deploy.local.stack import Stack
from kit import metrics
from processor.witness import NoWitness, report_losses
from storage.memory import Database, MemoryLaneStore
from storage.redis.witness import WRITE_SECONDS, RedisWitness

FIRST, SECOND, THIRD = ((number, bytes([number]) * 32) for number in (1, 2, 3))


@pytest.fixture
def url(engines: Stack) -> str:
    with redis.Redis.from_url(engines.endpoints.redis_url) as client:
        client.flushall()
    return engines.endpoints.redis_url


async def test_the_last_head_that_was_noted_is_remembered(url: str) -> None:
    witness = RedisWitness(url, "a")
    assert await witness.last() is None
    witness.keep("i1", FIRST)
    witness.note(SECOND)
    await asyncio.sleep(WRITE_SECONDS * 5)

    assert await RedisWitness(url, "a").last() == SECOND
    assert await RedisWitness(url, "b").last() is None
    await witness.release()


async def test_what_was_noted_just_before_the_end_is_written_too(url: str) -> None:
    witness = RedisWitness(url, "a")
    witness.keep("i1", FIRST)
    witness.note(THIRD)

    await witness.release()

    assert await RedisWitness(url, "a").last() == THIRD


async def test_a_lane_that_was_replaced_changes_nothing_any_more(url: str) -> None:
    old, new = RedisWitness(url, "a"), RedisWitness(url, "a")
    old.keep("i1", FIRST)
    await asyncio.sleep(WRITE_SECONDS * 5)
    new.keep("i2", SECOND)
    await asyncio.sleep(WRITE_SECONDS * 5)

    old.note(THIRD)
    await old.release()

    assert await new.last() == SECOND


async def test_a_flush_is_made_good_with_the_next_commit(url: str) -> None:
    witness = RedisWitness(url, "a")
    witness.keep("i1", FIRST)
    await asyncio.sleep(WRITE_SECONDS * 5)
    with redis.Redis.from_url(url) as client:
        client.flushall()

    witness.note(SECOND)
    await witness.release()

    assert await RedisWitness(url, "a").last() == SECOND


async def test_without_redis_nothing_is_known_and_nothing_fails() -> None:
    witness = RedisWitness("redis://127.0.0.1:1", "a")

    assert await witness.last() is None
    witness.keep("i1", FIRST)
    witness.note(SECOND)
    await witness.release()


async def test_a_witness_that_knows_more_than_the_journal_is_heard(url: str) -> None:
    database = Database()
    store = MemoryLaneStore(database, "s1")
    witness = RedisWitness(url, "s1")
    witness.keep("i0", THIRD)
    await witness.release()
    opened = await store.open("o", evict=False)
    before = lost_commits()

    with capture_logs() as events:
        await report_losses(witness, store, opened, (0, b""))

    [event] = [each for each in events if each["event"] == "history_lost"]
    assert (event["witnessed_seq"], event["kept_seq"]) == (3, 0)
    assert lost_commits() == before + 3
    # From here on the history that is left counts.
    await witness.release()
    assert await RedisWitness(url, "s1").last() == (0, opened.hash)


def lost_commits() -> float:
    return float(metrics.LANE_LOST_COMMITS.labels("s1")._value.get())


async def test_what_this_process_answered_for_counts_where_there_is_no_redis() -> None:
    store = MemoryLaneStore(Database(), "s1")
    opened = await store.open("o", evict=False)

    with capture_logs() as events:
        await report_losses(NoWitness(), store, opened, SECOND)

    assert [event["event"] for event in events] == ["history_lost"]
