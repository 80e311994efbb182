"""Several gateway processes behind one port: started, replaced and stopped together."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from deploy.servers import workers
from kit import settings
from tests.gateway import conftest
from tests.gateway.test_stop import environment, fetch, process

WORKERS = 2
ALONE = [("grpc.use_local_subchannel_pool", 1)]


class Supervised:
    """A supervisor and what it logs, its workers' lines among them."""

    def __init__(self, child: asyncio.subprocess.Process, address: str, metrics: list[str]) -> None:
        self.child = child
        self.address = address
        self.metrics = metrics

    async def event(self, name: str) -> dict[str, Any]:
        assert self.child.stderr is not None
        async with asyncio.timeout(conftest.CALL_SECONDS_MAX):
            while True:
                line: dict[str, Any] = json.loads(await self.child.stderr.readline())
                if line["event"] == name:
                    return line

    async def is_serving(self) -> bool:
        async with grpc.aio.insecure_channel(self.address, options=ALONE) as channel:
            check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            answer = await check(b"", timeout=conftest.CALL_SECONDS_MAX, wait_for_ready=True)
        return bool(answer == b"\x08\x01")

    async def served_by(self) -> set[str]:
        """Return which workers count calls, by their metrics ports."""
        found = set()
        for url in self.metrics:
            page = await asyncio.to_thread(fetch, f"http://{url}/metrics")
            for line in page.splitlines():
                if line.startswith("tender_rpc_requests_total") and 'method="unknown"' in line:
                    found.add(url)
        return found


def metrics_addresses() -> list[str]:
    """Neighbouring ports that are free, as far as one can know."""
    for port in range(20_000 + os.getpid() % 10_000, 60_000, WORKERS):
        urls = [f"127.0.0.1:{port + index}" for index in range(WORKERS)]
        if all(is_free(port + index) for index in range(WORKERS)):
            return urls
    raise AssertionError("no two neighbouring ports are free")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def env(folder: Path, address: str, metrics: str) -> dict[str, str]:
    return environment(
        folder,
        TENDER_GATEWAY_LISTEN=address,
        TENDER_METRICS_LISTEN=metrics,
        TENDER_PROCESSOR_TARGETS=conftest.free_address(),
        TENDER_QUIET_SECONDS="0",
        TENDER_DRAIN_SECONDS="1",
    )


@asynccontextmanager
async def supervised(folder: Path) -> AsyncIterator[Supervised]:
    address, metrics = conftest.free_address(), metrics_addresses()
    async with process(env(folder, address, metrics[0]), "--workers", str(WORKERS)) as child:
        yield Supervised(child, address, metrics)


async def call_unknown(address: str) -> None:
    """Call something that every worker counts, over a connection of its own."""
    async with grpc.aio.insecure_channel(address, options=ALONE) as channel:
        method: Any = channel.unary_unary("/nothing")
        assert await method(b"").code() is grpc.StatusCode.UNIMPLEMENTED


async def test_connections_are_spread_over_the_workers_which_stop_together(
    tmp_path: Path,
) -> None:
    async with supervised(tmp_path) as gateway:
        for _ in range(WORKERS):
            await gateway.event("gateway_started")
        assert await gateway.is_serving()
        async with asyncio.timeout(conftest.CALL_SECONDS_MAX):
            while len(await gateway.served_by()) < WORKERS:
                await call_unknown(gateway.address)

        gateway.child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(conftest.CALL_SECONDS_MAX):
            _, rest = await gateway.child.communicate()

    events = [json.loads(line)["event"] for line in rest.decode().splitlines() if line[0] == "{"]
    assert events.count("gateway_stopped") == WORKERS
    assert events[-1] == "gateway_supervisor_stopped"
    assert gateway.child.returncode == 0


async def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    async with supervised(tmp_path) as gateway:
        for _ in range(WORKERS):
            await gateway.event("gateway_started")
        victim = children(gateway.child.pid)[0]

        os.kill(victim, signal.SIGKILL)
        died = await gateway.event("gateway_worker_died")
        await gateway.event("gateway_started")

        assert (died["pid"], died["exit_code"]) == (victim, -signal.SIGKILL)
        assert len(children(gateway.child.pid)) == WORKERS
        assert await gateway.is_serving()


async def test_workers_stop_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    async with supervised(tmp_path) as gateway:
        for _ in range(WORKERS):
            await gateway.event("gateway_started")
        left = children(gateway.child.pid)

        gateway.child.kill()
        await gateway.child.wait()

        await conftest.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))


async def test_a_port_that_somebody_listens_on_is_refused(tmp_path: Path) -> None:
    async with conftest.running(tmp_path) as stack:
        given = env(tmp_path, stack.address, "127.0.0.1:0")
        async with process(given, "--workers", "2") as child:
            _, errors = await asyncio.wait_for(child.communicate(), conftest.CALL_SECONDS_MAX)

    assert child.returncode == 1
    assert stack.address in errors.decode()


async def test_a_port_chosen_by_the_system_is_refused(tmp_path: Path) -> None:
    given = env(tmp_path, "127.0.0.1:0", "127.0.0.1:0")
    async with process(given, "--workers", "2") as child:
        _, errors = await asyncio.wait_for(child.communicate(), conftest.CALL_SECONDS_MAX)

    assert child.returncode == 1
    assert b"port" in errors


async def test_workers_on_the_command_line_come_before_the_environment(tmp_path: Path) -> None:
    given = environment(tmp_path, TENDER_GATEWAY_WORKERS="3")
    async with process(given, "--workers", "5", "--check") as child:
        shown, _ = await asyncio.wait_for(child.communicate(), conftest.CALL_SECONDS_MAX)

    assert json.loads(shown)["gateway_workers"] == 5


def test_each_worker_has_a_metrics_port_of_its_own() -> None:
    given = settings.GatewaySettings(metrics_listen="[::1]:9464")
    by_the_system = settings.GatewaySettings(metrics_listen="127.0.0.1:0")

    assert workers.metrics_listen(given, 0) == "[::1]:9464"
    assert workers.metrics_listen(given, 3) == "[::1]:9467"
    assert workers.metrics_listen(by_the_system, 3) == "127.0.0.1:0"


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
