"""A whole stack under load while its Valkey is flushed, hangs, is killed and is slow."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

import tender
from deploy.local.stack import Stack, StackOptions
from tender import accounts
from tender.calls import Call
from tests.acceptance.conftest import agree, connect, gauge, samples
from tests.acceptance.load import Recorder, new_load, open_shop
from tests.cache.server import Server
from tests.checker import History

ROUND_SECONDS = 0.7
# Probes are to come in time on a busy machine too.
PATIENT = {"TENDER_REDIS_TIMEOUT_MS": "100", "TENDER_REPLAY_CACHE": "true"}
READ_PAUSE_SECONDS = 0.03
USED_SECONDS_MAX = 20.0
HANG_SECONDS = 1.5
CALL_SECONDS_MAX = 5.0
"""Also while Redis hangs: on a machine with much else to do."""

REPEATS = 200
STATEMENTS = """
SELECT s.query, sum(s.calls)::bigint AS calls
  FROM pg_stat_statements AS s
  JOIN pg_database AS d ON d.oid = s.dbid AND d.datname = current_database()
 WHERE s.toplevel
 GROUP BY s.query
"""
OF_CALLS = re.compile(r"apply_batch|check_lane|request_id", re.IGNORECASE)
# What the lane does each second by itself, and what this test asks.
OF_ITS_OWN = re.compile(r"created_at < |pg_stat_statements")


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("valkey"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, valkey: Server) -> Iterator[Stack]:
    options = StackOptions(
        data_dir=tmp_path_factory.mktemp("cached"),
        replicas=0,
        redis_url=valkey.url,
        gateway_env=PATIENT,
        processor_env={"TENDER_REDIS_TIMEOUT_MS": "100", "TENDER_BALANCE_CACHE": "true"},
    )
    with Stack(options) as stack:
        yield stack


def slow_down(valkey: Server) -> None:
    """Let every answer of a second come late."""
    with valkey.client as client:
        for _ in range(4):
            client.execute_command("CLIENT", "PAUSE", 250, "ALL")
            client.ping()


def hits(stack: Stack) -> float:
    return gauge(stack.endpoints.gateway_metrics, "tender_gateway_replays_total")


@asynccontextmanager
async def recording(stack: Stack) -> AsyncIterator[Recorder]:
    async with connect(stack.endpoints) as client:
        recorder = Recorder(client, History())
        yield recorder
    await agree(recorder.history, stack.endpoints)


async def used(stack: Stack) -> None:
    """Wait until the gateway asks its Redis."""
    async with asyncio.timeout(USED_SECONDS_MAX):
        address = stack.endpoints.gateway_metrics
        while not await asyncio.to_thread(gauge, address, "tender_redis_up"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_whatever_becomes_of_redis_nothing_is_lost_doubled_or_answered_otherwise(
    stack: Stack, valkey: Server
) -> None:
    async with recording(stack) as recorder:
        load = new_load(recorder, await open_shop(recorder))
        saver = Saver(recorder)
        async with load.running(), saver.running():
            await asyncio.sleep(ROUND_SECONDS)
            await asyncio.to_thread(valkey.flush)
            await asyncio.sleep(ROUND_SECONDS)
            with valkey.paused():
                await asyncio.sleep(HANG_SECONDS)
            await used(stack)
            await asyncio.to_thread(slow_down, valkey)
            await asyncio.sleep(ROUND_SECONDS)
            await asyncio.to_thread(valkey.kill)
            await asyncio.sleep(ROUND_SECONDS)
            await asyncio.to_thread(valkey.start)
            await used(stack)
            await asyncio.sleep(ROUND_SECONDS)

        assert recorder.unknown == 0
        assert len(load.answered) > 100
        assert max(ended - began for began, ended in load.answered) < CALL_SECONDS_MAX
        assert saver.saved > 10
        assert from_cache(stack) > 0


class Saver:
    """Brings money in and looks at the balance: at least what was there then, at most all."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.saved = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        opened = await self._recorder.surely(accounts.create(user_id="saver", currency_code="EUR"))
        saving = asyncio.create_task(self._save(opened.account.id))
        yield
        saving.cancel()
        with suppress(asyncio.CancelledError):
            await saving

    async def _save(self, account_id: str) -> None:
        client = self._recorder.client
        while True:
            call = accounts.transfer(
                source_account_id="world",
                destination_account_id=account_id,
                amount=tender.Money(currency_code="EUR", minor_units=1),
            )
            done = await self._recorder.surely(call)
            self.saved += 1
            for token in (done.read_token, ""):
                read = await client.get_account(account_id=account_id, read_token=token)
                [as_of] = read.as_of
                posted = read.account.posted.minor_units
                assert posted == self.saved or (not token and posted < self.saved)
                assert as_of.as_of_seq >= int((token or "..0").split(".")[2])
                await asyncio.sleep(READ_PAUSE_SECONDS)


def from_cache(stack: Stack) -> float:
    reads = samples(stack.endpoints.processor_metrics, "tender_reads_total")
    return sum(one.value for one in reads if one.labels["source"] == "cache")


async def test_repeats_cost_neither_a_statement_nor_the_lane(stack: Stack) -> None:
    await used(stack)
    async with recording(stack) as recorder:
        shop = await open_shop(recorder)
        calls: list[Call[tender.v1.payment_pb2.AuthorizePaymentResponse]] = [
            shop.pay(number) for number in range(REPEATS)
        ]
        first = [await recorder.once(call) for call in calls]
        connection = await asyncpg.connect(stack.endpoints.owner_url)
        try:
            await asyncio.sleep(0.2)
            before = await of_calls(connection), lane_commands(stack)
            replays = hits(stack)
            again = await asyncio.gather(*(recorder.once(call) for call in calls))
            after = await of_calls(connection), lane_commands(stack)
        finally:
            await connection.close()

    assert list(again) == first
    assert hits(stack) == replays + REPEATS
    assert after == before


async def of_calls(connection: asyncpg.Connection) -> dict[str, int]:
    """Return how often each statement ran that calls lead to."""
    rows = await connection.fetch(STATEMENTS)
    return {
        row["query"]: row["calls"]
        for row in rows
        if OF_CALLS.search(row["query"]) and not OF_ITS_OWN.search(row["query"])
    }


def lane_commands(stack: Stack) -> float:
    return gauge(stack.endpoints.processor_metrics, "tender_lane_commands_total")


async def test_after_a_takeover_repeats_are_answered_by_the_new_lane(stack: Stack) -> None:
    await used(stack)
    async with recording(stack) as recorder:
        shop = await open_shop(recorder)
        call = shop.pay(1)
        first = await recorder.once(call)
        assert await recorder.once(call) == first
        stack.kill("processor")
        stack.start_one("processor")
        handled = lane_commands(stack)
        started = time.monotonic()
        again = await recorder.surely(call)

        assert again == first
        assert lane_commands(stack) == handled + 1
        assert time.monotonic() - started < 10
