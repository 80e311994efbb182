"""A running gateway in front of a scripted processor, over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import REGISTRY

from deploy.servers import gateway as gateway_server
from gateway import methods
from kit import addresses, settings
from tests.gateway import scripted
from tests.gateway.scripted import ScriptedProcessor

CALL_SECONDS_MAX = 10.0
EDGES = ("http2", "grpc")
on_grpc = pytest.mark.parametrize("shared_stack", ["grpc"], indirect=True)
"""For what looks into the grpc edge; tests/edge has the like for the other one."""


@dataclass
class Stack:
    """What a test needs to hold in its hands."""

    processor: ScriptedProcessor
    channel: grpc.aio.Channel
    address: str
    processor_address: str
    stop: Callable[[], None]
    stopped: asyncio.Task[None]
    stop_processor: Callable[[], Awaitable[None]]
    keys: dict[str, str] = field(default_factory=dict)

    def call_bytes(
        self,
        path: str,
        data: bytes,
        *,
        key: str | None = "service",
        metadata: tuple[tuple[str, str | bytes], ...] = (),
        timeout: float | None = CALL_SECONDS_MAX,
    ) -> Any:
        given: Any = metadata
        if key is not None:
            given = (("authorization", f"Bearer {self.keys[key]}"), *metadata)
        method: Any = self.channel.unary_unary(path)
        return method(data, metadata=given, timeout=timeout)

    def call(self, name: str, request: Message, **options: Any) -> Any:
        return self.call_bytes(path_of(name), request.SerializeToString(), **options)


@dataclass
class Answer:
    """A refusal as a client sees it."""

    code: grpc.StatusCode
    text: str
    reason: str
    metadata: dict[str, str]
    fields: list[str]
    retry_ms: int


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another process or task brings about."""
    async with asyncio.timeout(CALL_SECONDS_MAX):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def metric(name: str, labels: dict[str, str] | None = None) -> float:
    return REGISTRY.get_sample_value(name, labels or {}) or 0.0


def path_of(name: str) -> str:
    return methods.BY_NAME[name].path


async def refusal(call: Any) -> Answer:
    """Await a call that must be refused, and return the refusal; there is one ErrorInfo."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error: Any = caught.value
    status = rpc_status.from_call(error)
    assert status is not None, f"no rich status: {error.code()} {error.details()}"
    infos, fields, retry_ms = [], [], 0
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            infos.append(info)
        elif detail.Unpack(bad_request):
            fields = [violation.field for violation in bad_request.field_violations]
        elif detail.Unpack(retry):
            retry_ms = retry.retry_delay.ToMilliseconds()
    (info,) = infos
    assert info.domain == "tender"
    return Answer(error.code(), error.details(), info.reason, dict(info.metadata), fields, retry_ms)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def accepting(address: str) -> None:
    """Wait for the port, since a channel that is too early sleeps for a second."""
    host, port = addresses.host_and_port(address)
    async with asyncio.timeout(CALL_SECONDS_MAX):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            await writer.wait_closed()
            return


def write_secrets(folder: Path) -> dict[str, Any]:
    token, pepper = folder / "token", folder / "pepper"
    token.write_text(scripted.TOKEN)
    pepper.write_text(scripted.PEPPER.hex())
    return {"internal_token_file": token, "api_key_pepper_file": pepper}


@asynccontextmanager
async def running(folder: Path, **given: Any) -> AsyncIterator[Stack]:
    """Start both servers; `given` are settings of the gateway."""
    processor = ScriptedProcessor()
    processor_address = free_address()
    address = free_address()
    gateway = settings.GatewaySettings(
        **write_secrets(folder),
        gateway_listen=address,
        processor_targets=(processor_address,),
        metrics_listen="127.0.0.1:0",
        **({"quiet_seconds": 0} | given),
    )
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as stack:
        processor_server = await stack.enter_async_context(
            scripted.listening(processor, processor_address)
        )
        serving = asyncio.create_task(gateway_server.serve(gateway, stop))
        await accepting(address)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        await channel.channel_ready()
        keys = {
            "service": processor.add_key("service"),
            "operator": processor.add_key("operator"),
            "merchant": processor.add_key("merchant", merchant_id=scripted.MERCHANT),
        }

        def end() -> None:
            if not stop.done():
                stop.set_result("test")

        try:
            yield Stack(
                processor=processor,
                channel=channel,
                address=address,
                processor_address=processor_address,
                stop=end,
                stopped=serving,
                stop_processor=lambda: processor_server.stop(None),
                keys=keys,
            )
        finally:
            end()
            await serving


@pytest.fixture(scope="session", params=EDGES)
async def shared_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    async with running(tmp_path_factory.mktemp("gateway"), gateway_edge=request.param) as stack:
        yield stack


@pytest.fixture
async def stack(shared_stack: Stack) -> AsyncIterator[Stack]:
    """One gateway serves many tests; it must be at rest between two of them."""
    shared_stack.processor.reset()
    known = dict(shared_stack.keys)
    yield shared_stack
    shared_stack.keys = known
    await until(lambda: metric("tender_gateway_in_flight") == 0)
