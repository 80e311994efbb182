"""A queue that is full and a database that is away: come again later, never a false OK."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from deploy.local.stack import Stack
from tests.badinput import requests
from tests.badinput.conftest import QUEUE_MAX, Books
from tests.badinput.wire import PATHS, Wire, read
from tests.badinput.world import World, money

RECOVERY_SECONDS_MAX = 15.0


async def test_a_full_queue_refuses_with_a_delay_and_stores_nothing(
    wire: Wire, world: World, books: Books
) -> None:
    before: Any = await books.read()
    calls = [requests.authorize(world, amount=money(1)) for _ in range(2 * QUEUE_MAX)]
    connection = await books.connection()

    async with connection.transaction():
        # Readers may go on; no batch can commit.
        await connection.execute("LOCK TABLE requests IN SHARE ROW EXCLUSIVE MODE")
        answers = [asyncio.ensure_future(answer(wire, call)) for call in calls]
        await asyncio.sleep(0.3)
        refused = [task.result() for task in answers if task.done()]
    outcomes = await asyncio.gather(*answers)

    assert len(refused) >= QUEUE_MAX
    assert {(code, reason) for code, reason, _ in refused} == {
        ("RESOURCE_EXHAUSTED", "LANE_QUEUE_FULL")
    }
    assert all(retry_ms > 0 for _, _, retry_ms in refused)
    carried_out = [outcome for outcome in outcomes if outcome[0] == "OK"]
    assert len(carried_out) == len(calls) - len(refused)
    after: Any = await books.read()
    for what in ("requests", "payments", "transfers"):
        assert after[what] - before[what] == len(carried_out)


async def answer(wire: Wire, request: Any) -> tuple[str, str, int]:
    """Return code, reason and delay."""
    try:
        await wire.ask(request)
    except grpc.aio.AioRpcError as error:
        refused = read(error)
        return refused.code, refused.reason, refused.retry_ms
    return "OK", "", 0


@pytest.fixture
async def without_postgres(real_stack: Stack, wire: Wire, world: World) -> AsyncIterator[None]:
    """Postgres is away until the test ends; afterwards everything works again."""
    real_stack.kill("postgres", stay_down=True)
    yield
    await asyncio.to_thread(real_stack.start_one, "postgres")
    until = time.monotonic() + RECOVERY_SECONDS_MAX
    while (await answer(wire, requests.authorize(world)))[0] != "OK":
        assert time.monotonic() < until


async def test_without_postgres_every_call_is_told_to_come_again(
    wire: Wire, world: World, without_postgres: None
) -> None:
    refusals = await asyncio.gather(
        *(wire.refused(requests.valid(method, world)) for method in PATHS)
    )

    for method, refused in zip(PATHS, refusals, strict=True):
        assert refused.code == "UNAVAILABLE", method
        assert refused.reason in {"SHARD_UNAVAILABLE", "OUTCOME_UNKNOWN"}, method
        assert refused.retry_ms > 0, method


async def test_what_was_asked_while_postgres_was_away_happens_once(
    real_stack: Stack, wire: Wire, world: World, books: Books
) -> None:
    before: Any = await books.read()
    request = requests.authorize(world)
    real_stack.kill("postgres", stay_down=True)

    refused = await wire.refused(request)
    await asyncio.to_thread(real_stack.start_one, "postgres")
    until = time.monotonic() + RECOVERY_SECONDS_MAX
    while (await answer(wire, request))[0] != "OK":
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    await wire.ask(request)

    assert refused.code == "UNAVAILABLE"
    after: Any = await books.read()
    assert after["payments"] - before["payments"] == 1
    assert after["transfers"] - before["transfers"] == 1
