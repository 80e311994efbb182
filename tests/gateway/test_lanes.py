"""The lanes that a gateway knows, while it learns which there are."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from gateway.lanes import Lanes
from gateway.topology import Topology
from kit.shard_map import BucketRange, ShardMap
from tender.v1 import directory_pb2
from tests.gateway.conftest import until
from tests.gateway.scripted import TOKEN

BOTH = ShardMap(1, (BucketRange("eu", 0, 511, "s1"), BucketRange("eu", 512, 1023, "s2")))


@pytest.mark.parametrize("is_running", [False, True], ids=["before they run", "while they run"])
async def test_the_only_lane_that_turns_out_to_be_two_is_not_told_as_unreached(
    is_running: bool,
) -> None:
    topology = Topology()
    lanes = Lanes(topology, {}, TOKEN, region="eu", in_flight_max=1)
    topology.hear("one", directory_pb2.WatchResponse(shard_map=BOTH.to_message()))
    running: asyncio.Task[None] | None = None
    if is_running:
        running = asyncio.create_task(lanes.run())
        await asyncio.sleep(0)

    lanes.look_again()

    await until(lambda: _told().keys() >= {"s1", "s2"} and "" not in _told())
    if running is not None:
        running.cancel()
        await asyncio.wait([running])


def _told() -> dict[str, float]:
    """Return what is said of each shard's lane."""
    gauge = "tender_gateway_lane_connected"
    return {
        sample.labels["shard"]: sample.value
        for metric in REGISTRY.collect()
        if metric.name == gauge
        for sample in metric.samples
    }
