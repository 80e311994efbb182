"""How a gateway starts, stops and says what it is set to."""

import asyncio
import json
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tender.v1 import lane_pb2
from tests.gateway import conftest, requests, scripted

MODULE = ("-m", "deploy.servers.gateway")


async def test_running_calls_end_well_while_the_gateway_stops(tmp_path: Path) -> None:
    async with conftest.running(tmp_path, quiet_seconds=0.1) as stack:
        release = asyncio.Event()

        async def wait(command: lane_pb2.Command, send: scripted.Send) -> None:
            await release.wait()
            await send(scripted.echoed(command))

        stack.processor.script = wait
        running = [
            asyncio.ensure_future(stack.call("AuthorizePayment", requests.authorize(str(n))))
            for n in range(20)
        ]
        await conftest.until(lambda: len(stack.processor.commands) == 20)

        stack.stop()
        health = await stack.call_bytes("/grpc.health.v1.Health/Check", b"", key=None)
        await asyncio.sleep(0.3)
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await stack.call("AuthorizePayment", requests.authorize("late"), timeout=1)
        release.set()

        assert health in {b"\x08\x01", b"\x08\x02"}
        assert late.value.code() is grpc.StatusCode.UNAVAILABLE
        assert len(await asyncio.gather(*running)) == 20
        await stack.stopped


async def test_a_call_cancelled_before_the_stop_is_still_drained(tmp_path: Path) -> None:
    answered: list[int] = []

    async def slow(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(0.5)
        await send(scripted.echoed(command))
        answered.append(command.correlation_id)

    async with conftest.running(tmp_path) as stack:
        stack.processor.script = slow
        call = stack.call("AuthorizePayment", requests.authorize())
        await conftest.until(lambda: stack.processor.commands)
        call.cancel()

        stack.stop()
        await stack.stopped

        assert answered == [1]


async def test_a_stop_does_not_wait_longer_than_it_may(tmp_path: Path) -> None:
    async def never(command: lane_pb2.Command, send: scripted.Send) -> None:
        await asyncio.sleep(60)

    async with conftest.running(tmp_path, drain_seconds=0.2) as stack:
        stack.processor.script = never
        call = asyncio.ensure_future(stack.call("AuthorizePayment", requests.authorize()))
        await conftest.until(lambda: stack.processor.commands)

        stack.stop()
        async with asyncio.timeout(3):
            await stack.stopped

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


def environment(folder: Path, **given: str) -> dict[str, str]:
    secrets = {
        f"TENDER_{name.upper()}": str(path) for name, path in conftest.write_secrets(folder).items()
    }
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TENDER_")}
    return clean | secrets | given


@asynccontextmanager
async def process(
    env: dict[str, str], *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *MODULE,
        *arguments,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_the_process_serves_until_sigterm(tmp_path: Path) -> None:
    address, metrics_address = conftest.free_address(), conftest.free_address()
    env = environment(
        tmp_path,
        TENDER_GATEWAY_LISTEN=address,
        TENDER_METRICS_LISTEN=metrics_address,
        TENDER_PROCESSOR_TARGETS=conftest.free_address(),
        TENDER_QUIET_SECONDS="0.1",
    )
    async with process(env) as child:
        assert child.stderr is not None
        async with asyncio.timeout(conftest.CALL_SECONDS_MAX):
            # Before it, that nobody answers where the processor should be.
            started: dict[str, Any] = {}
            while started.get("event") != "gateway_started":
                started = json.loads(await child.stderr.readline())
        async with grpc.aio.insecure_channel(address) as channel:
            check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            health = await check(b"", timeout=conftest.CALL_SECONDS_MAX)
        page = await asyncio.to_thread(fetch, f"http://{metrics_address}/metrics")
        healthz = await asyncio.to_thread(fetch, f"http://{metrics_address}/healthz")

        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(conftest.CALL_SECONDS_MAX):
            _, rest = await child.communicate()

    assert (started["event"], started["listen"]) == ("gateway_started", address)
    assert health == b"\x08\x01"
    assert "tender_gateway_in_flight 0.0" in page
    assert healthz == "SERVING\n"
    events = [json.loads(line)["event"] for line in rest.decode().splitlines() if line[0] == "{"]
    assert events[-2:] == ["gateway_stopping", "gateway_stopped"]
    assert child.returncode == 0


async def test_a_port_that_is_taken_is_not_shared(tmp_path: Path) -> None:
    async with conftest.running(tmp_path) as stack:
        env = environment(
            tmp_path, TENDER_GATEWAY_LISTEN=stack.address, TENDER_METRICS_LISTEN="127.0.0.1:0"
        )
        async with process(env) as child:
            _, errors = await asyncio.wait_for(child.communicate(), conftest.CALL_SECONDS_MAX)

        assert child.returncode != 0
        assert stack.address in errors.decode()


async def test_check_shows_the_settings_and_no_secret(tmp_path: Path) -> None:
    env = environment(tmp_path, TENDER_REDIS_URL="redis://user:hunter2@cache:6379/0")
    async with process(env, "--check") as child:
        shown, _ = await asyncio.wait_for(child.communicate(), conftest.CALL_SECONDS_MAX)

    assert child.returncode == 0
    assert json.loads(shown)["redis_url"] == "redis://***@cache:6379/0"
    assert b"hunter2" not in shown
    assert scripted.TOKEN.encode() not in shown


async def test_settings_that_do_not_fit_end_the_process_with_their_names(tmp_path: Path) -> None:
    env = environment(tmp_path, TENDER_DRAIN_SECONDS="hunter2")
    async with process(env) as child:
        _, errors = await asyncio.wait_for(child.communicate(), conftest.CALL_SECONDS_MAX)

    assert child.returncode == 1
    assert b"TENDER_DRAIN_SECONDS" in errors
    assert b"hunter2" not in errors


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=conftest.CALL_SECONDS_MAX) as answer:
        return str(answer.read().decode())
