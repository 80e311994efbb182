"""Two processors on one shard: one owns it, the other waits, and takes over within seconds."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from deploy.local import folder, servers, supervisor
from deploy.local.stack import Stack
from tests.acceptance.conftest import connect, gauge, measured
from tests.acceptance.load import Load, Recorder, new_load, open_shop
from tests.gateway.conftest import free_address

WATCH_SECONDS = 1.5
"""The second one must not have taken the lane by then."""

TENURE_SECONDS = 5.5
"""An owner that has only just taken over is not evicted."""

TAKEOVER_SECONDS_MAX = 6.0
START_SECONDS_MAX = 15.0
OPEN = "tender_lane_open"


@dataclass
class Second:
    """A second processor on the shard of a stack, and a gateway in front of it."""

    children: supervisor.Supervisor
    endpoints: folder.Endpoints

    def owns_lane(self) -> bool:
        try:
            return gauge(self.endpoints.processor_metrics, OPEN) == 1
        except OSError:
            return False


@contextmanager
def second_pair(stack: Stack, logs: Path) -> Iterator[Second]:
    endpoints = replace(
        stack.endpoints,
        gateway=free_address(),
        processor=free_address(),
        gateway_metrics=free_address(),
        processor_metrics=free_address(),
        processors=(),
    )
    processor = servers.processor_environment(
        endpoints, endpoints.processor_url, endpoints.query_url, "eu", "s1"
    )
    gateway = servers.gateway_environment(endpoints, "eu", reflection=False) | {
        "TENDER_METRICS_LISTEN": endpoints.gateway_metrics
    }
    children = supervisor.Supervisor(lambda _: None, lambda _: None)
    try:
        for name, target, own in (
            ("processor", endpoints.processor, processor),
            ("gateway", endpoints.gateway, gateway),
        ):
            module = f"deploy.servers.{name}"
            log = logs / f"second-{name}.log"
            children.add(servers.service(name, module, target, servers.environment() | own, log))
        yield Second(children, endpoints)
    finally:
        children.stop_all()


async def metrics_of(second: Second) -> None:
    """Wait until the second processor runs, with or without the lane."""
    async with asyncio.timeout(START_SECONDS_MAX):
        while True:
            try:
                gauge(second.endpoints.processor_metrics, OPEN)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize("accident", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_second_processor_waits_and_takes_over_when_the_first_dies_or_hangs(
    fragile: Stack, survivor: Recorder, tmp_path: Path, accident: signal.Signals
) -> None:
    first_load = new_load(survivor, await open_shop(survivor))
    with second_pair(fragile, tmp_path) as second:
        async with connect(second.endpoints) as client, first_load.running(clients=8):
            await metrics_of(second)
            await asyncio.sleep(WATCH_SECONDS if accident == signal.SIGKILL else TENURE_SECONDS)
            assert not second.owns_lane()

            happened_at = time.monotonic()
            fragile.kill("processor", accident, stay_down=accident == signal.SIGKILL)
            other = Recorder(client, survivor.history)
            second_load = Load(other, first_load.shop, seed=first_load.seed + 1)
            async with second_load.running(clients=8):
                taken_over = await second_load.answered_after(happened_at) - happened_at
                if accident == signal.SIGSTOP:
                    fragile.kill("processor", signal.SIGCONT)
                    await asyncio.sleep(WATCH_SECONDS)
                    assert second.owns_lane()
                    assert gauge(fragile.endpoints.processor_metrics, OPEN) == 0
            second.children.stop("processor")
            stopped_at = time.monotonic()
            if accident == signal.SIGKILL:
                await asyncio.to_thread(fragile.start_one, "processor")
            back = await first_load.answered_after(stopped_at) - stopped_at

    measured(
        f"second processor took over {taken_over:.2f} s after {accident.name} of the first,"
        f" the first {back:.2f} s after the second was stopped"
    )
    assert taken_over < TAKEOVER_SECONDS_MAX
    assert back < TAKEOVER_SECONDS_MAX
