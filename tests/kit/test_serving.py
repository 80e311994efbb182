"""The chassis: ports, tasks and the order of a stop."""

import asyncio
from typing import Any

import grpc
import pytest

from kit import addresses, serving


async def test_two_servers_never_share_a_port() -> None:
    first = serving.create_server([], rpcs_max=10)
    second = serving.create_server([], rpcs_max=10)
    port = serving.bind(first, "127.0.0.1:0")
    await first.start()

    with pytest.raises((RuntimeError, OSError)):
        serving.bind(second, f"127.0.0.1:{port}")

    await first.stop(None)
    await second.stop(None)


async def test_a_stop_says_so_waits_stops_and_closes_in_this_order() -> None:
    server = serving.create_server([], rpcs_max=10)
    serving.bind(server, "127.0.0.1:0")
    await server.start()
    health = serving.Health()
    health.set_serving(True)
    steps: list[str] = []

    async def before() -> None:
        steps.append(f"before, serving={health.is_serving}")

    async def after() -> None:
        steps.append("after")

    await serving.stop_gracefully(
        server,
        health,
        quiet_seconds=0,
        drain_seconds=1,
        before_stop=[before],
        after_stop=[after],
    )

    assert steps == ["before, serving=False", "after"]


async def test_tasks_are_drained_and_the_late_ones_cancelled() -> None:
    tasks = serving.Tasks()
    quick = tasks.start(asyncio.sleep(0.01, "done"))
    slow = tasks.start(asyncio.sleep(60))

    await tasks.drain(0.1)

    assert quick.result() == "done"
    assert slow.cancelled()
    assert len(tasks) == 0
    await tasks.drain(0.1)


async def test_more_calls_than_the_server_may_run_are_refused_at_once() -> None:
    """About: grpcio 1.75.0 takes in another call for each one that it refused."""
    release = asyncio.Event()

    async def wait(_request: bytes, _context: serving.Context) -> bytes:
        await release.wait()
        return b"done"

    server = serving.create_server([], rpcs_max=5)
    handler = grpc.method_handlers_generic_handler(
        "s", {"m": grpc.unary_unary_rpc_method_handler(wait)}
    )
    server.add_generic_rpc_handlers((handler,))
    port = serving.bind(server, "127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary("/s/m")
        calls = [method(b"", timeout=5) for _ in range(20)]
        await asyncio.sleep(0.3)
        release.set()
        codes = [await call.code() for call in calls]

    assert 5 <= codes.count(grpc.StatusCode.OK) < 15
    assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) > 5
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    await server.stop(None)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:65535", ("::1", 65535)), ("host:0", ("host", 0))],
)
def test_addresses(text: str, parts: tuple[str, int]) -> None:
    assert addresses.host_and_port(text) == parts


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "host:-1", "host:65536"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        addresses.host_and_port(text)
