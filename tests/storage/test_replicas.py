"""Reads from two real standbys that lag, hang, die and come back."""

import asyncio
import contextlib
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from google.protobuf.message import Message

from deploy.local import database
from deploy.local.stack import Stack, StackOptions
from kit import metrics
from kit.read_tokens import ReadToken
from processor.domain import refusals
from processor.domain.reads import AsOf
from processor.ports import Unavailable
from storage.postgres import replicas
from storage.postgres.replicas import Replica, ReplicatedQueries
from tender.v1 import account_pb2

SHARD = "s1"
INCARNATION = "i1"
SETTLE_SECONDS = 20.0

_NEXT = """
INSERT INTO journal (seq, epoch, incarnation, body, previous_hash, hash, created_at)
SELECT coalesce(max(seq), 0) + 1, 1, $1, '', sha256('a'),
       sha256(convert_to(random()::text, 'UTF8')), now()
  FROM journal
RETURNING seq
"""
_BUCKETS = """
INSERT INTO lane_buckets AS b (shard, region, version, ranges)
VALUES ($1, 'eu', 1, $2)
ON CONFLICT (shard) DO UPDATE SET version = b.version + 1, ranges = excluded.ranges
"""
_OWN = """
INSERT INTO lanes (shard, epoch, owner, incarnation, backend_pid, opened_at)
VALUES ($1, 1, 'o', $2, 1, now()) ON CONFLICT DO NOTHING
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="tender-test-") as folder:
        options = StackOptions(data_dir=Path(folder), with_servers=False, replicas=2)
        with Stack(options) as stack:
            yield stack


class House:
    """A shard that is written by hand, and reads of it."""

    def __init__(self, stack: Stack, owner: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.stack = stack
        self.owner = owner
        self.committed = 0
        self.queries = ReplicatedQueries(
            stack.endpoints.query_url,
            stack.endpoints.replica_urls,
            SHARD,
            staleness_seconds_max=1.0,
            known_seq=lambda: self.committed,
        )

    async def write(self) -> ReadToken:
        """Commit something, and return its token."""
        return ReadToken(SHARD, INCARNATION, await self.owner.fetchval(_NEXT, INCARNATION))

    async def read(self, after: ReadToken | None = None) -> AsOf:
        async def work(snapshot: Any) -> Message:
            await snapshot.account("acc_eu_x")
            return account_pb2.GetAccountResponse()

        _, as_of = await self.queries.read(work, after)
        return as_of

    async def on_replica(self, name: str, sql: str) -> None:
        """Run a statement on a standby, as a superuser."""
        number = int(name.removeprefix("replica")) - 1
        where = database.where(self.stack.endpoints.replica_urls[number])
        url = database.at(self.stack.endpoints.owner_url, where)
        connection = await asyncpg.connect(url, timeout=5)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


@pytest.fixture
async def house(stack: Stack) -> AsyncIterator[House]:
    owner = await asyncpg.connect(stack.endpoints.owner_url)
    house = House(stack, owner)
    await owner.execute(_OWN, SHARD, INCARNATION)
    probing = asyncio.create_task(house.queries.run())
    try:
        await house.write()
        await until(lambda: all(each.is_usable for each in house.queries.replicas))
        yield house
    finally:
        probing.cancel()
        await asyncio.wait([probing])
        await house.queries.close()
        await owner.close()


async def until(holds: Callable[[], bool]) -> None:
    async def ask() -> bool:
        return holds()

    await until_found(ask)


async def until_found(ask: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            if await ask():
                return
            await asyncio.sleep(0.02)


def reads(source: str, cause: str = "") -> float:
    """Return how many reads there were, which `counting` compares."""
    return float(metrics.READS.labels(SHARD, source, cause)._value.get())


@contextlib.contextmanager
def counting(source: str, cause: str, *, more: int) -> Iterator[None]:
    before = reads(source, cause)
    yield
    assert reads(source, cause) >= before + more


@contextlib.asynccontextmanager
async def paused(house: House, *names: str) -> AsyncIterator[None]:
    """Keep standbys from showing what they get."""
    for name in names:
        await house.on_replica(name, "SELECT pg_wal_replay_pause()")
    try:
        yield
    finally:
        for name in names:
            await house.on_replica(name, "SELECT pg_wal_replay_resume()")


async def test_reads_go_to_the_standbys_and_say_how_old_they_are(house: House) -> None:
    token = await house.write()
    await until_found(lambda: _reaches(house, token))
    before, primary_before = reads("replica"), reads("primary", "away")

    answers = [await house.read() for _ in range(20)]

    assert {as_of.seq for as_of in answers} == {token.seq}
    assert all(0 <= as_of.staleness_seconds <= 1.0 for as_of in answers)
    assert reads("replica") == before + 20
    assert reads("primary", "away") == primary_before


async def _reaches(house: House, token: ReadToken) -> bool:
    answers = [await house.read() for _ in range(4)]
    return all(as_of.seq >= token.seq for as_of in answers)


async def test_a_reader_with_a_token_always_sees_its_own_write(house: House) -> None:
    for _ in range(50):
        token = await house.write()

        assert (await house.read(token)).seq >= token.seq


async def test_a_token_that_one_standby_has_not_reached_is_read_from_the_other(
    house: House,
) -> None:
    async with paused(house, "replica1"):
        token = await house.write()
        await until_found(lambda: _shows(house, "replica2", token))

        with counting("replica", "", more=4):
            answers = [await house.read(token) for _ in range(4)]

        assert {as_of.seq for as_of in answers} == {token.seq}


async def _shows(house: House, name: str, token: ReadToken) -> bool:
    number = int(name.removeprefix("replica")) - 1
    connection = await asyncpg.connect(house.stack.endpoints.replica_urls[number])
    try:
        return bool(await connection.fetchval("SELECT max(seq) >= $1 FROM journal", token.seq))
    finally:
        await connection.close()


async def test_a_token_that_no_standby_has_reached_is_read_from_the_primary(house: House) -> None:
    async with paused(house, "replica1", "replica2"):
        token = await house.write()

        with counting("primary", "behind", more=1):
            as_of = await house.read(token)

        assert as_of == AsOf(token.seq, 0.0)


async def test_a_bucket_that_standbys_do_not_know_to_have_come_is_read_from_the_primary(
    house: House,
) -> None:
    async def work(snapshot: Any) -> Message:
        await snapshot.account("acc_eu_x0a")
        return account_pb2.GetAccountResponse()

    async def told() -> bool:
        try:
            await house.queries.read(work)
        except refusals.BucketElsewhere:
            return True
        return False

    await house.owner.execute(_BUCKETS, SHARD, '[[0, 9, "OWNED", ""]]')
    try:
        await until_found(told)
        async with paused(house, "replica1", "replica2"):
            await house.owner.execute(_BUCKETS, SHARD, '[[0, 1023, "OWNED", ""]]')
            with counting("primary", "behind", more=1):
                await house.queries.read(work)
    finally:
        await house.owner.execute("DELETE FROM lane_buckets")


async def test_a_commit_that_this_process_answered_for_is_seen_without_a_token(
    house: House,
) -> None:
    async with paused(house, "replica1", "replica2"):
        house.committed = (await house.write()).seq

        with counting("primary", "behind", more=1):
            assert (await house.read()).seq == house.committed


async def test_a_standby_that_lags_answers_only_while_that_is_little(house: House) -> None:
    async with paused(house, "replica1", "replica2"):
        old = (await house.read()).seq
        await house.write()
        await asyncio.sleep(0.6)  # So that a probe has seen the commit.
        as_of = await house.read()
        assert (as_of.seq, as_of.staleness_seconds > 0.2) in ((old, True), (old + 1, False))

        await asyncio.sleep(1.5)
        with counting("primary", "lagging", more=1):
            assert (await house.read()).seq == old + 1

    await until_found(lambda: _from_replica(house))


async def _from_replica(house: House) -> bool:
    before = reads("replica")
    await house.read()
    return reads("replica") == before + 1


async def test_a_token_of_another_shard_is_refused(house: House) -> None:
    with pytest.raises(refusals.ReadTokenElsewhere):
        await house.read(ReadToken("s2", INCARNATION, 1))


async def test_a_token_of_a_commit_that_is_yet_to_come_is_refused(house: House) -> None:
    token = await house.write()

    with pytest.raises(refusals.ReadTokenAhead):
        await house.read(token._replace(seq=token.seq + 1))


@pytest.mark.parametrize("seqs_later", [0, 5])
async def test_a_token_whose_commit_vanished_is_told_so(house: House, seqs_later: int) -> None:
    token = await house.write()

    with pytest.raises(refusals.HistoryLost) as lost:
        await house.read(ReadToken(SHARD, "vanished", token.seq + seqs_later))

    assert lost.value.metadata == {
        "seq": str(token.seq + seqs_later),
        "as_of_seq": str(token.seq),
    }


async def test_a_standby_with_another_history_is_not_read(house: House) -> None:
    token = await house.write()
    await until_found(lambda: _reaches(house, token))
    async with paused(house, "replica1", "replica2"):
        # As after a promotion of a server that had got less than they have.
        await house.owner.execute(
            "UPDATE journal SET hash = sha256('other') WHERE seq = $1", token.seq
        )

        await until(lambda: not any(each.follows for each in house.queries.replicas))
        with counting("primary", "away", more=1):
            await house.read()
    await until(lambda: all(each.follows for each in house.queries.replicas))


async def test_a_standby_that_hangs_costs_its_readers_little(house: House) -> None:
    stack = house.stack
    stack.kill("replica1", signal.SIGSTOP)
    try:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(house.read())
        # One time limit, plus what a busy machine takes; a hung read would be seconds.
        assert time.monotonic() - started < replicas.OPEN_SECONDS_MAX + 1.5
        await until(lambda: not house.queries.replicas[0].is_usable)

        with counting("replica", "", more=10):
            for _ in range(10):
                await house.read()
    finally:
        stack.kill("replica1", signal.SIGCONT)
    await until(lambda: house.queries.replicas[0].is_usable)


async def test_a_killed_standby_is_used_again_once_it_is_back(house: House) -> None:
    stack, answered, failed = house.stack, 0, 0
    ending = asyncio.Event()

    async def keep_reading() -> None:
        nonlocal answered, failed
        while not ending.is_set():
            token = await house.write()
            try:
                assert (await house.read(token)).seq >= token.seq
                answered += 1
            except Unavailable:
                failed += 1

    reading = asyncio.create_task(keep_reading())
    await asyncio.to_thread(stack.kill, "replica1", signal.SIGKILL, stay_down=True)
    await until(lambda: not house.queries.replicas[0].follows)
    down = answered
    await until(lambda: answered > down + 20)
    await asyncio.to_thread(stack.start_one, "replica1")
    await until(lambda: house.queries.replicas[0].is_usable)
    ending.set()
    await reading

    assert failed == 0
    token = await house.write()
    await until_found(lambda: _shows(house, "replica1", token))


async def test_without_any_standby_the_primary_answers(house: House) -> None:
    for name in ("replica1", "replica2"):
        await asyncio.to_thread(house.stack.kill, name, signal.SIGKILL, stay_down=True)
    try:
        await until(lambda: not any(each.follows for each in house.queries.replicas))
        with counting("primary", "away", more=1):
            token = await house.write()
            assert await house.read() == AsOf(token.seq, 0.0)
    finally:
        for name in ("replica1", "replica2"):
            await asyncio.to_thread(house.stack.start_one, name)


async def test_while_the_primary_is_away_a_standby_answers_and_says_its_age(house: House) -> None:
    token = await house.write()
    await until_found(lambda: _reaches(house, token))
    await house.owner.close()
    await asyncio.to_thread(house.stack.kill, "postgres", signal.SIGKILL, stay_down=True)
    try:
        await asyncio.sleep(1.5)

        as_of = await house.read()

        assert as_of.seq == token.seq
        assert as_of.staleness_seconds > 1.0
    finally:
        await asyncio.to_thread(house.stack.start_one, "postgres")


async def test_a_standby_that_is_back_is_asked_at_once() -> None:
    replica = Replica("postgresql://nobody@127.0.0.1:1/none", "s1", "1")
    row = replicas._Row(5, b"")
    replica.note(row, follows=True, head=5, staleness=0.0)
    for _ in range(9):
        replica.failed()
    assert not replica.is_usable

    replica.note(row, follows=True, head=5, staleness=0.0)
    assert not replica.is_usable
    replica.note(None, follows=False, head=5, staleness=None)
    replica.note(row, follows=True, head=5, staleness=0.0)

    assert replica.is_usable
