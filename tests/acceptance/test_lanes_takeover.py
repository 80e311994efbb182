"""Processors that die or hang under load: their lanes are open elsewhere within seconds."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import asyncpg
import pytest

from deploy.local.stack import Stack, StackOptions
from tests.acceptance.conftest import gauge, measured
from tests.acceptance.lanes import OPEN, Street, held, percentile, settles
from tests.acceptance.test_lanes_handover import HOMES, SHARED

HANDOVER_AFTER_SECONDS = 1.0
TAKEOVER_SECONDS_MAX = 5.0
PAUSE_SECONDS = 5.5
QUIET_SECONDS = 0.5
SHARDS = ["s1", "s2", "s3"]

Accident = Callable[[Stack, str], Awaitable[None]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two processors for three lanes."""
    options = StackOptions(
        data_dir=Path(tmp_path_factory.mktemp("pair")),
        shards=3,
        replicas=0,
        processors=2,
        processor_env={"TENDER_HANDOVER_AFTER_SECONDS": str(HANDOVER_AFTER_SECONDS)},
    )
    with Stack(options) as stack:
        stack.supervise_in_background()
        yield stack


async def killed(stack: Stack, name: str) -> None:
    """Its machine is fine: the supervisor starts it again."""
    await asyncio.to_thread(stack.kill, name)
    await asyncio.sleep(TAKEOVER_SECONDS_MAX / 2)


async def paused(stack: Stack, name: str) -> None:
    """It sleeps past its lease, and goes on as if nothing had been."""
    other = next(each for each in stack.endpoints.processors if each.name != name)
    await asyncio.to_thread(stack.kill, name, signal.SIGSTOP)
    await asyncio.sleep(PAUSE_SECONDS)
    assert await asyncio.to_thread(gauge, other.metrics, OPEN) == len(SHARDS)
    await asyncio.to_thread(stack.kill, name, signal.SIGCONT)


async def epochs(stack: Stack) -> Mapping[str, int]:
    found = {}
    for shard in stack.endpoints.shards:
        connection = await asyncpg.connect(shard.owner_url)
        try:
            found[shard.name] = await connection.fetchval("SELECT epoch FROM lanes")
        finally:
            await connection.close()
    return found


async def suffers(stack: Stack, accident: Accident, rounds: int) -> tuple[Street, list[float]]:
    """Let one processor after the other have an accident; return how long its lanes were away."""
    await settles(stack.endpoints, SHARED)
    street = await Street.open(stack)
    pauses = []
    async with street.busy():
        for number in range(rounds):
            name = list(SHARED)[number % len(SHARED)]
            await asyncio.sleep(QUIET_SECONDS)
            happened_at = time.monotonic()
            await accident(stack, name)
            pauses += [street.pause(shard, happened_at) for shard in HOMES[name]]
            await settles(stack.endpoints, SHARED)
        await asyncio.sleep(QUIET_SECONDS)
    return street, pauses


@pytest.mark.parametrize("redis", ["with Redis", "without Redis"])
@pytest.mark.parametrize(("accident", "rounds"), [(killed, 4), (paused, 2)])
async def test_the_lanes_of_a_processor_that_dies_or_hangs_are_taken_over(
    pair: Stack, accident: Accident, rounds: int, redis: str
) -> None:
    await settles(pair.endpoints, SHARED)
    before = await epochs(pair)
    if redis == "without Redis":
        await asyncio.to_thread(pair.stop_one, "valkey")
    try:
        street, pauses = await suffers(pair, accident, rounds)
    finally:
        await asyncio.to_thread(pair.start_one, "valkey")

    measured(
        f"lanes of a processor that was {accident.__name__} {redis}: open elsewhere after"
        f" p95 {percentile(pauses, 0.95):.2f} s, median {percentile(pauses, 0.5):.2f} s,"
        f" at most {max(pauses):.2f} s of {len(pauses)}; {len(street.failures())} attempts unknown"
    )
    assert max(pauses) < TAKEOVER_SECONDS_MAX
    await street.agrees()
    after = await epochs(pair)
    # Over and back again, and never to and fro.
    moves = {shard: after[shard] - before[shard] for shard in SHARDS}
    assert sum(moves.values()) <= 2 * len(pauses) + len(SHARDS), moves
    assert held(pair.endpoints) == SHARED
