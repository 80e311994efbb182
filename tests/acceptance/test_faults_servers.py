"""Processor and gateway killed and paused under load: nothing lost, nothing twice, soon back."""

import asyncio
import signal
import time

import pytest

from deploy.local.stack import Stack
from tests.acceptance.conftest import gauge, measured
from tests.acceptance.load import Recorder, new_load, open_shop

RECOVERY_SECONDS_MAX = 5.0
KILLS = 4
BETWEEN_SECONDS = 1.5
"""Long enough for the supervisor not to take the kills for a crash loop."""

PAUSE_SECONDS = 3.0


@pytest.mark.parametrize("name", ["processor", "gateway"])
async def test_a_server_killed_again_and_again_loses_nothing_and_is_back_within_five_seconds(
    fragile: Stack, survivor: Recorder, name: str
) -> None:
    load = new_load(survivor, await open_shop(survivor))
    recoveries = []

    async with load.running():
        for _ in range(KILLS):
            await asyncio.sleep(BETWEEN_SECONDS)
            killed_at = time.monotonic()
            await asyncio.to_thread(fragile.kill, name)
            recoveries.append(await load.answered_after(time.monotonic()) - killed_at)

    measured(
        f"{name} killed {KILLS} times: back after"
        f" {', '.join(f'{seconds:.2f}' for seconds in recoveries)} s,"
        f" {len(load.answered)} calls answered, {survivor.unknown} asked again"
    )
    assert max(recoveries) < RECOVERY_SECONDS_MAX
    assert gauge(fragile.endpoints.gateway_metrics, "tender_gateway_in_flight") == 0


@pytest.mark.parametrize("name", ["processor", "gateway"])
async def test_a_paused_server_goes_on_where_it_stopped(
    fragile: Stack, survivor: Recorder, name: str
) -> None:
    load = new_load(survivor, await open_shop(survivor))

    async with load.running():
        await asyncio.sleep(0.5)
        await asyncio.to_thread(fragile.kill, name, signal.SIGSTOP)
        await asyncio.sleep(PAUSE_SECONDS)
        continued_at = time.monotonic()
        await asyncio.to_thread(fragile.kill, name, signal.SIGCONT)
        recovery = await load.answered_after(continued_at) - continued_at

    measured(f"{name} paused for {PAUSE_SECONDS:g} s: back {recovery:.2f} s after it went on")
    assert recovery < RECOVERY_SECONDS_MAX
