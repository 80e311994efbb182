"""A consumer that is killed at any point loses nothing and doubles nothing."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from processor.consumers import letters
from processor.consumers.loop import (
    BEFORE_COMMIT,
    COMMITTED,
    DELIVERED,
    FAIL_POINTS,
    FINISHED,
    PARKED,
)
from storage.kafka.dead_letters import DeadLetters
from tests.consumers.conftest import WAIT_SECONDS_MAX, Office, eventually, publish
from tests.consumers.events import Sent, event, sent
from tests.consumers.member import BUGS

EVENTS = 200
ENTITIES = 8
JUNK = 3
PASSES = {DELIVERED: 2, BEFORE_COMMIT: 3, COMMITTED: 3, PARKED: 2, FINISHED: 3}


@asynccontextmanager
async def member(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.consumers.member", *arguments
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_every_fail_point_is_tried() -> None:
    assert PASSES.keys() == set(FAIL_POINTS)


@pytest.mark.parametrize("point", FAIL_POINTS)
async def test_a_kill_at_a_fail_point_costs_a_repetition_at_most(
    point: str, bootstrap: str, topic: str, office: Office
) -> None:
    told = [event(n, entity=f"pay_{n % ENTITIES}") for n in range(1, EVENTS + 1)]
    junk = [Sent(b"junk", b"\xff\xff", []) for _ in range(JUNK)]
    publish(bootstrap, topic, [*map(sent, told[:100]), *junk, *map(sent, told[100:])])
    arguments = (bootstrap, topic, office.url)
    wanted = {one.id for one in told} - BUGS

    async with member(*arguments, f"{point}:{PASSES[point]}") as killed:
        code = await asyncio.wait_for(killed.wait(), WAIT_SECONDS_MAX)
    async with member(*arguments) as process:

        async def is_done() -> bool:
            return set(await office.effects()) == wanted and len(parked(bootstrap, topic)) == 5

        await eventually(is_done, "end")
        process.send_signal(signal.SIGTERM)
        stopped = await asyncio.wait_for(process.wait(), WAIT_SECONDS_MAX)

    assert (code, stopped) == (-signal.SIGKILL, 0)
    assert sorted(await office.effects()) == sorted(wanted)
    for number in range(ENTITIES):
        versions = await office.versions(f"pay_{number}")
        assert versions == sorted(versions)
    causes = sorted(letter.cause for letter in parked(bootstrap, topic).values())
    assert causes == ["HANDLER_ERROR", "HANDLER_ERROR", "MALFORMED", "MALFORMED", "MALFORMED"]


def parked(bootstrap: str, topic: str) -> dict[str, letters.Letter]:
    """Return the dead letters of a topic, each once."""
    queue = DeadLetters({"bootstrap.servers": bootstrap})
    if topic not in queue.topics():
        return {}
    return letters.outstanding(queue.read(topic))
