"""After a day of trouble the servers hold no more than before it (I11)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

import tender
from deploy.local import folder
from deploy.local.stack import Stack, StackOptions
from tests.acceptance.conftest import agree, connect, gauge, measured
from tests.acceptance.load import Recorder, Shop, new_load, open_shop
from tests.acceptance.test_faults_postgres import storm
from tests.checker import History

SERVERS = ("gateway", "processor")
DESCRIPTORS_MORE_MAX = 8
THREADS_MORE_MAX = 3
BYTES_MORE_MAX = 80 << 20
"""Caches of the lane grow with the accounts and keys that it has seen."""

REST_SECONDS = 1.5
HASTY_CALLS = 200


class Held(NamedTuple):
    """What a process occupies."""

    descriptors: int
    threads: int
    bytes: int


@pytest.fixture
def troubled(tmp_path: Path) -> Iterator[Stack]:
    with Stack(StackOptions(data_dir=tmp_path, replicas=0)) as stack:
        stack.supervise_in_background()
        yield stack


def held(stack: Stack) -> dict[str, Held]:
    processes = {name: psutil.Process(stack.child(name).pid) for name in SERVERS}
    return {
        name: Held(process.num_fds(), process.num_threads(), process.memory_info().rss)
        for name, process in processes.items()
    }


async def work(endpoints: folder.Endpoints, history: History, seconds: float) -> None:
    """A mixed load by clients that come, work and go."""
    async with connect(endpoints) as client:
        recorder = Recorder(client, history)
        load = new_load(recorder, await open_shop(recorder))
        async with load.running():
            await asyncio.sleep(seconds)


async def hurry(endpoints: folder.Endpoints, history: History) -> None:
    """Callers that leave or whose deadlines pass, each on a connection that breaks."""
    async with connect(endpoints) as client:
        shop: Shop = await open_shop(Recorder(client, history))
    for _ in range(10):
        async with connect(endpoints, retry=tender.NO_RETRIES, timeout=0.01) as client:
            once = Recorder(client, history).once
            calls: list[asyncio.Task[Any]] = [
                asyncio.create_task(once(shop.pay(number))) for number in range(HASTY_CALLS // 10)
            ]
            await asyncio.sleep(0.005)
            for call in calls[::2]:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)


async def test_after_load_hasty_callers_and_lost_connections_the_servers_hold_what_they_held(
    troubled: Stack,
) -> None:
    endpoints, history = troubled.endpoints, History()
    pids = [troubled.child(name).pid for name in SERVERS]
    await work(endpoints, history, 0.5)
    await hurry(endpoints, history)
    await asyncio.sleep(REST_SECONDS)
    before = held(troubled)

    for _ in range(2):
        await work(endpoints, history, 1.0)
        await hurry(endpoints, history)
    await storm(endpoints)
    await asyncio.to_thread(troubled.kill, "postgres")
    await work(endpoints, history, 1.0)
    await asyncio.sleep(REST_SECONDS)

    after = held(troubled)
    for name in SERVERS:
        more = [now - then for now, then in zip(after[name], before[name], strict=True)]
        measured(
            f"{name} after all that: {more[0]:+} descriptors, {more[1]:+} threads,"
            f" {more[2] / 1e6:+.1f} MB"
        )
        assert more[0] <= DESCRIPTORS_MORE_MAX
        assert more[1] <= THREADS_MORE_MAX
        assert more[2] <= BYTES_MORE_MAX
    assert pids == [troubled.child(name).pid for name in SERVERS]
    assert gauge(endpoints.gateway_metrics, "tender_gateway_in_flight") == 0
    assert gauge(endpoints.processor_metrics, "tender_lane_queue_depth") == 0
    await agree(history, endpoints)
