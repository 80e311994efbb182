"""Servers told to stop in the middle of their work: no caller notices more than a retry."""

import asyncio
import signal
import time
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import tender
from deploy.local.stack import Stack
from kit import serving
from processor.entries import MOVED
from storage.postgres.lane_store import PostgresLaneStore
from tender import payments
from tests.acceptance.conftest import measured
from tests.acceptance.load import Recorder, new_load, open_shop
from tests.conftest import Shard
from tests.gateway.conftest import free_address
from tests.lane.conftest import running
from tests.lane.harness import Caller, authorize

CLIENTS = 32
STOPS = 2
BETWEEN_SECONDS = 1.5
POLL_SECONDS = 0.01
Status = health_pb2.HealthCheckResponse


@pytest.mark.parametrize("name", ["gateway", "processor"])
async def test_a_server_that_stops_in_order_costs_no_call_more_than_retries(
    fragile: Stack, survivor: Recorder, name: str
) -> None:
    load = new_load(survivor, await open_shop(survivor))
    seconds = []

    async with load.running(CLIENTS):
        for _ in range(STOPS):
            await asyncio.sleep(BETWEEN_SECONDS)
            child = fragile.child(name)
            stopped_at = time.monotonic()
            fragile.kill(name, signal.SIGTERM)
            assert await asyncio.to_thread(child.process.wait, 20) == 0
            seconds.append(await load.answered_after(time.monotonic()) - stopped_at)

    measured(
        f"{name} stopped in order {STOPS} times under {CLIENTS} clients: the next answer after"
        f" {', '.join(f'{each:.2f}' for each in seconds)} s, {survivor.unknown} calls lost"
    )
    assert survivor.unknown == 0


async def test_the_gateway_says_that_it_stops_before_it_refuses_and_answers_until_then(
    fragile: Stack, survivor: Recorder
) -> None:
    load = new_load(survivor, await open_shop(survivor))
    seen: list[str] = []
    quiet_at = 0

    async with grpc.aio.insecure_channel(fragile.endpoints.gateway) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        async with load.running(CLIENTS):
            await asyncio.sleep(0.3)
            child = fragile.child("gateway")
            fragile.kill("gateway", signal.SIGTERM)
            while child.exit_code() is None:
                try:
                    answer = await check(health_pb2.HealthCheckRequest(), timeout=1)
                except grpc.aio.AioRpcError as error:
                    seen.append(error.code().name)
                    break
                seen.append(Status.ServingStatus.Name(answer.status))
                if seen[-1] == "NOT_SERVING":
                    quiet_at = len(load.answered)
                await asyncio.sleep(POLL_SECONDS)

    order = [name for number, name in enumerate(seen) if number == 0 or seen[number - 1] != name]
    assert order[-2:] == ["NOT_SERVING", "UNAVAILABLE"]
    assert len(order) - 2 <= 1, order
    assert len(load.answered) > quiet_at
    assert survivor.unknown == 0


async def test_a_call_that_a_stopping_server_cancels_is_repeated_with_its_request_id() -> None:
    """As gRPC does to calls that arrive after its stop began."""
    asked: list[bytes] = []

    async def handle(data: bytes, context: serving.Context) -> bytes:
        asked.append(data)
        if len(asked) == 1:
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        return b""

    service, _, method = payments.VOID.path[1:].partition("/")
    server, address = grpc.aio.server(), free_address()
    handlers: Any = {method: grpc.unary_unary_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(address)
    await server.start()
    try:
        async with tender.Client(address, "tdr_key") as client:
            await client.void_payment(payment_id="pay_eu_0000000000000000000000")
    finally:
        await server.stop(None)

    assert len(asked) == 2
    assert asked[0] == asked[1]


async def test_a_lane_told_to_stop_decides_what_waits_and_leaves_what_comes_to_the_next_owner(
    shard: Shard,
) -> None:
    async with running(PostgresLaneStore(shard.lane_url, "s1")) as lane:
        caller = Caller(lane)
        payer, merchant = await caller.account("alice", 1_000), await caller.merchant("cafe")
        waiting = [caller.send(authorize(payer, merchant, 10)) for _ in range(20)]
        stopping = asyncio.create_task(lane.stop(5))
        await asyncio.sleep(0)

        late = caller.send(authorize(payer, merchant, 10))

        assert late.done()
        assert late.result() is MOVED
        assert [reply.reason for reply in await asyncio.gather(*waiting)] == [""] * 20
        await stopping
