"""What a lane tells the cache of balances is read back as it was committed, or not at all."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from kit import read_tokens
from processor import translate
from processor.cached_reads import CachedReads
from processor.domain.accounts import Account
from processor.domain.reads import AsOf
from processor.domain.refusals import AccountUnknown
from processor.lane import Lane
from processor.ports import Changed, Ownership, Told
from processor.queries import Reader
from processor.telling import Teller
from storage.balances import HEAD_MS, BalanceCache
from storage.memory import Database, MemoryLaneStore
from tender.v1 import account_pb2, lane_pb2, merchant_pb2
from tests.cache.conftest import StartServer, cluster_url
from tests.cache.server import Server
from tests.gateway.conftest import until
from tests.lane.harness import OPERATOR, Caller, authorize, euros, unique

SECRET = b"of the processors"
TIMEOUT_SECONDS = 0.1
STALE_SECONDS_MAX = 2.0
HUNG_SECONDS = 0.5
ENOUGH_SECONDS = 10.0


ACCOUNT = Account("a", "t", "u", "K", "EUR", "OPEN", 0, 0, 0, 1, 0, 0, "", "")


class Desk:
    """A lane that tells its cache, and who reads from it."""

    def __init__(self, lane: Lane, cache: BalanceCache, url: str) -> None:
        self.lane, self.cache, self.url = lane, cache, url
        self.caller = Caller(lane)
        self.reads = self.reads_of(lambda: lane.incarnation)

    def reads_of(self, incarnation: Any, **given: Any) -> CachedReads:
        given = {"staleness_seconds_max": STALE_SECONDS_MAX} | given
        return CachedReads(self.cache, "s1", incarnation=incarnation, **given)

    async def found(
        self,
        account_id: str,
        *,
        after: str = "",
        who: lane_pb2.Principal = OPERATOR,
        reads: CachedReads | None = None,
    ) -> tuple[account_pb2.GetAccountResponse, AsOf] | None:
        asked = account_pb2.GetAccountRequest(account_id=account_id)

        def work(snapshot: Any) -> Awaitable[Any]:
            reader = Reader(snapshot, translate.principal(who), time.time_ns() // 1_000)
            return reader.get_account(asked)

        token = read_tokens.parse(after)[0] if after else None
        return await (reads or self.reads).read(work, token)

    async def merchant(self, merchant_id: str) -> merchant_pb2.Merchant | None:
        asked = merchant_pb2.GetMerchantRequest(merchant_id=merchant_id)
        who = translate.principal(OPERATOR)
        hit = await self.reads.read(lambda found: Reader(found, who, 0).get_merchant(asked), None)
        return hit[0].merchant if hit else None

    async def posted(self, account_id: str, *, after: str = "") -> int | None:
        hit = await self.found(account_id, after=after)
        return hit[0].account.posted.minor_units if hit else None

    async def comes(self, account_id: str, after: str) -> account_pb2.GetAccountResponse:
        """Wait until the cache has an account as of a commit."""
        stop_by = time.monotonic() + ENOUGH_SECONDS
        while (hit := await self.found(account_id, after=after)) is None:
            assert time.monotonic() < stop_by, "it never came"
            await asyncio.sleep(0.005)
        return hit[0]

    async def fund(self, account_id: str, amount: int) -> str:
        """Bring money in; return the read token of that commit."""
        done = await self.caller.ask(
            account_pb2.CreateTransferRequest(
                request_id=unique(),
                source_account_id="world",
                destination_account_id=account_id,
                amount=euros(amount),
            )
        )
        token: str = done.read_token
        return token


@asynccontextmanager
async def open_desk(url: str, database: Database | None = None) -> AsyncIterator[Desk]:
    cache = BalanceCache(url, SECRET, entry_seconds=60, timeout_seconds=TIMEOUT_SECONDS)
    storage = MemoryLaneStore(database or Database(), "s1")
    lane = Lane(storage, region="eu", shard="s1", owner=unique("owner"), balances=cache)
    running = [asyncio.create_task(cache.run()), asyncio.create_task(lane.run())]
    try:
        await asyncio.wait_for(lane.opened(), ENOUGH_SECONDS)
        await until(lambda: cache.is_up)
        yield Desk(lane, cache, url)
    finally:
        await lane.stop(1.0)
        await asyncio.wait_for(running[1], ENOUGH_SECONDS)
        running[0].cancel()
        await asyncio.wait(running)


@pytest.fixture
async def desk(server: Server) -> AsyncIterator[Desk]:
    async with open_desk(server.url) as one:
        yield one


async def test_what_is_committed_is_read_with_its_commit(desk: Desk) -> None:
    ada = await desk.caller.account("ada", 1_000)
    shop = await desk.caller.merchant("shop", basis_points=140, fixed=5)
    paid = await desk.caller.ask(authorize(ada, shop, 300))

    answer = await desk.comes(ada, paid.read_token)
    hit = await desk.found(ada)
    merchant = await desk.merchant(shop)

    account = answer.account
    assert (account.posted.minor_units, account.held.minor_units) == (700, 0)
    assert answer.read_token == paid.read_token
    assert hit is not None
    assert hit[1].seq == int(paid.read_token.rpartition(".")[2])
    assert 0 <= hit[1].staleness_seconds < STALE_SECONDS_MAX
    assert merchant is not None
    [terms] = merchant.settlement_terms
    assert (terms.fee_schedule.basis_points, terms.fee_schedule.fixed_minor_units) == (140, 5)


async def test_a_reader_who_names_a_commit_finds_it_or_nothing(desk: Desk) -> None:
    ada, hits, token = await desk.caller.account("ada"), 0, ""

    for amount in range(1, 101):
        token = await desk.fund(ada, 1)
        if amount % 5 == 0:
            await asyncio.sleep(0.03)
        posted = await desk.posted(ada, after=token)
        assert posted in (None, amount)
        hits += posted is not None

    assert hits > 0
    ahead = read_tokens.parse(token)[0]._replace(seq=1_000_000)
    assert await desk.posted(ada, after=str(ahead)) is None
    assert await desk.posted(ada, after=f"s1.0123456789ab.{ahead.seq}") is None
    assert await desk.posted(ada, after=f"s2.{ahead.incarnation}.1") is None


@pytest.mark.parametrize("accident", ["hung", "lost"])
async def test_what_the_cache_did_not_hear_is_not_told_in_an_older_form(
    desk: Desk, server: Server, monkeypatch: pytest.MonkeyPatch, accident: str
) -> None:
    async def lose(told: Told) -> bool:
        return False

    ada, ben = await desk.caller.account("ada", 1_000), await desk.caller.account("ben")
    await desk.comes(ada, await desk.fund(ben, 1))

    if accident == "hung":
        with server.paused():
            await desk.fund(ada, 500)
            # Whatever the node does with what it was sent, nobody waits for it.
            await asyncio.sleep(HUNG_SECONDS)
    else:
        monkeypatch.setattr(desk.cache, "tell", lose)
        await desk.fund(ada, 500)
        await asyncio.sleep(0.1)
        monkeypatch.undo()
    await until(lambda: desk.cache.is_up)
    await desk.comes(ben, await desk.fund(ben, 1))

    assert await desk.posted(ada) in (None, 1_500)
    await desk.comes(ada, await desk.fund(ada, 1))
    assert await desk.posted(ada) == 1_501


@pytest.mark.parametrize("accident", ["flushed", "killed"])
async def test_a_cache_that_lost_all_is_filled_again(
    desk: Desk, server: Server, accident: str
) -> None:
    ada = await desk.caller.account("ada", 1_000)
    await desk.comes(ada, "")

    if accident == "flushed":
        server.flush()
    else:
        server.kill()
        await until(lambda: not desk.cache.is_up)
        assert await desk.posted(ada) is None
        server.start()
        await until(lambda: desk.cache.is_up)

    assert await desk.posted(ada) is None
    await desk.comes(ada, await desk.fund(ada, 1))
    assert await desk.posted(ada) == 1_001


async def test_an_owner_that_lost_the_lane_is_not_heard(desk: Desk) -> None:
    ada = await desk.caller.account("ada", 1_000)
    await desk.comes(ada, "")
    row = row_of(desk, ada)
    now = time.monotonic() + 1
    late = Told("s1", 0, b"generation", {ada: row._replace(posted=1)}, ("older", 99), now)

    assert not await desk.cache.tell(late)
    assert not await desk.cache.tell(late._replace(head=None))

    assert await desk.posted(ada) == 1_000


def row_of(desk: Desk, account_id: str) -> Account:
    row = desk.lane._cache.account(account_id)
    assert row is not None
    return row


async def test_a_call_that_comes_late_changes_nothing(desk: Desk) -> None:
    """As one does that lay in the buffers of a node that hung, behind a newer connection."""
    ada = await desk.caller.account("ada", 1_000)
    await desk.comes(ada, "")
    row = row_of(desk, ada)
    known = await desk.cache.find("s1", ada)
    assert known is not None
    earlier = time.monotonic() - 1
    ownership = desk.lane._beats._opened.ownership  # type: ignore[union-attr]
    late = Told(
        *("s1", ownership.epoch, known.generation, {ada: row._replace(posted=1)}),
        *((known.incarnation, known.seq), earlier),
    )

    assert not await desk.cache.tell(late)

    assert await desk.posted(ada) == 1_000


async def test_a_lane_that_says_nothing_any_more_is_soon_not_believed(server: Server) -> None:
    async with open_desk(server.url) as desk:
        ada = await desk.caller.account("ada", 1_000)
        await desk.comes(ada, "")
        async with AsyncExitStack() as other:
            reader = await other.enter_async_context(open_reader(server.url))
            assert await desk.found(ada, reads=reader) is not None
            await desk.lane.stop(1.0)
            await asyncio.sleep(HEAD_MS / 1_000 + 0.5)

            assert await desk.found(ada, reads=reader) is None


@asynccontextmanager
async def open_reader(url: str, secret: bytes = SECRET, **given: Any) -> AsyncIterator[CachedReads]:
    """A processor that does not hold the lane."""
    cache = BalanceCache(url, secret, entry_seconds=60, timeout_seconds=TIMEOUT_SECONDS)
    given = {"staleness_seconds_max": STALE_SECONDS_MAX} | given
    running = asyncio.create_task(cache.run())
    try:
        await until(lambda: cache.is_up)
        yield CachedReads(cache, "s1", incarnation=str, **given)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_reader_takes_nothing_older_than_it_may_be(desk: Desk, server: Server) -> None:
    ada = await desk.caller.account("ada", 1_000)
    await desk.comes(ada, "")
    async with open_reader(server.url, staleness_seconds_max=-1.0) as reader:
        assert await desk.found(ada, reads=reader) is None


async def test_another_history_than_the_lane_s_here_is_not_believed(desk: Desk) -> None:
    ada = await desk.caller.account("ada", 1_000)
    await desk.comes(ada, "")

    assert await desk.found(ada, reads=desk.reads_of(lambda: "another")) is None
    assert await desk.found(ada, reads=desk.reads_of(lambda: "")) is not None


async def test_what_was_altered_or_moved_is_none(desk: Desk, server: Server) -> None:
    ada, ben = await desk.caller.account("ada", 1_000), await desk.caller.account("ben", 9)
    await desk.comes(ben, await desk.fund(ada, 1))
    mine, others = (f"tender:balances:{{s1}}:{name}" for name in (ada, ben))
    with server.client as client:
        entry, other = client.get(mine), client.get(others)
        assert entry
        assert other
        client.set(mine, other)
        assert await desk.posted(ada) is None
        client.set(mine, entry[:20] + bytes([entry[20] ^ 1]) + entry[21:])
        assert await desk.posted(ada) is None
        client.set(mine, b"")
        assert await desk.posted(ada) is None
        client.set(mine, entry)
    assert await desk.posted(ada) == 1_001

    async with open_reader(server.url, b"another secret") as stranger:
        assert await desk.found(ada, reads=stranger) is None


async def test_only_those_who_may_see_an_account_do(desk: Desk) -> None:
    shop = await desk.caller.merchant("shop")
    ada = await desk.caller.account("ada", 1_000)
    await desk.comes(ada, "")
    merchant = await desk.merchant(shop)
    assert merchant is not None
    own = merchant.settlement_terms[0].account_id
    stranger = lane_pb2.Principal(tenant_id="another", operator=True)
    shopkeeper = lane_pb2.Principal(tenant_id="dev", merchant_id=shop)

    with pytest.raises(AccountUnknown):
        await desk.found(ada, who=stranger)
    with pytest.raises(AccountUnknown):
        await desk.found(ada, who=shopkeeper)
    assert await desk.found(own, who=shopkeeper) is not None


async def test_what_nobody_committed_is_left_to_postgres(desk: Desk) -> None:
    await desk.comes(await desk.caller.account("ada", 1), "")

    assert await desk.posted("acc_eu_01hf7yat0000000000zz00") is None


async def test_a_slow_cache_is_begun_anew(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.comes(await desk.caller.account("ben"), "")
    monkeypatch.setattr("processor.telling.ROWS_WAITING_MAX", 0)
    ada = await desk.caller.account("ada", 1_000)
    await asyncio.sleep(0.2)
    assert await desk.posted(ada) is None

    monkeypatch.undo()
    await desk.comes(ada, await desk.fund(ada, 1))

    assert await desk.posted(ada) == 1_001


async def test_many_rows_are_told_in_bounded_calls_and_counted_when_all_are(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.telling.ROWS_PER_CALL_MAX", 3)
    async with open_desk(server.url) as desk:
        names = [f"user-{number}" for number in range(20)]
        ids = await asyncio.gather(*(desk.caller.account(name, 7) for name in names))
        token = await desk.fund(ids[0], 1)
        for account_id in ids:
            await desk.comes(account_id, token)

        assert [await desk.posted(one) for one in ids] == [8, *[7] * 19]


class Forgetful:
    """A cache that loses one call."""

    is_up = True

    def __init__(self, lost: int) -> None:
        self.told: list[Told] = []
        self.lost = lost
        self.meanwhile: Callable[[], None] = lambda: None

    async def tell(self, told: Told) -> bool:
        self.told.append(told)
        self.meanwhile()
        return len(self.told) != self.lost

    async def find(self, shard: str, row_id: str) -> None:
        return None


async def test_a_part_that_is_lost_lets_no_head_follow() -> None:
    cache = Forgetful(3)
    teller = Teller(cache, Ownership("s1", 1, "me", "first"), 5)
    account = Account("a", "t", "u", "K", "EUR", "OPEN", 0, 0, 0, 1, 0, 0, "", "")
    teller._rows = {str(number): account for number in range(1_000)}
    running = asyncio.create_task(teller.run())
    await until(lambda: len(cache.told) == 5)
    running.cancel()
    await asyncio.wait([running])

    _, first, lost, _, after = cache.told
    assert first.head is lost.head is None
    assert first.generation == lost.generation != after.generation
    assert (after.rows, after.head) == ({}, ("first", 5))


async def test_buckets_that_leave_take_along_what_was_told_of_them() -> None:
    cache = Forgetful(0)
    teller = Teller(cache, Ownership("s1", 1, "me", "first"), 5)
    teller._rows = {str(number): ACCOUNT for number in range(1_000)}
    leaving: Any = SimpleNamespace(
        seq=6, accounts=[Changed(1, ACCOUNT)], merchants=[], buckets=object()
    )

    def leave_once() -> None:
        if len(cache.told) == 2:
            teller.committed(leaving)

    cache.meanwhile = leave_once
    running = asyncio.create_task(teller.run())
    await until(lambda: len(cache.told) == 4)
    running.cancel()
    await asyncio.wait([running])

    _, before, _, after = cache.told
    assert before.head is None
    assert before.generation != after.generation
    assert (after.rows, after.head) == ({}, ("first", 6))


async def test_a_cluster_keeps_a_shard_s_rows_together(start_server: StartServer) -> None:
    async with open_desk(await cluster_url(start_server)) as desk:
        ada = await desk.caller.account("ada", 1_000)

        assert (await desk.comes(ada, "")).account.posted.minor_units == 1_000
