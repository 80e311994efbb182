"""A gRPC server with safe options, its health, and the order in which it stops."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

import grpc
import uvloop
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from kit import addresses, collector

# Limits of the wire. The guard's own limits are lower and answer with a fixed text; these stand
# behind them and protect memory.
RECEIVE_BYTES_MAX: Final = 1024 * 1024
METADATA_BYTES_MAX: Final = 8 * 1024
STREAMS_MAX: Final = 1_000  # Per connection; a caller may keep 256 calls in flight on one.
HANDSHAKE_MS: Final = 5_000  # gRPC's own 120 s keep idle sockets open.
IDLE_MS: Final = 300_000
KEEPALIVE_MS: Final = 10_000
KEEPALIVE_TIMEOUT_MS: Final = 5_000
PING_INTERVAL_MS_MIN: Final = 5_000  # Clients may ping this often before they are told to stop.

HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"
_HEALTH_SERVICE_LENGTH_MAX: Final = 256
_NAME_BY_CODE: Final = {code.value[0]: code.name for code in grpc.StatusCode}

if TYPE_CHECKING:
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
    RpcHandler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
else:  # At run time they cannot be subscripted.
    Context = grpc.aio.ServicerContext
    RpcHandler = grpc.RpcMethodHandler
_T = TypeVar("_T")


def create_server(
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    *,
    rpcs_max: int,
    receive_bytes_max: int = RECEIVE_BYTES_MAX,
    connection_age_ms: int | None = None,
    reuse_port: bool = False,
) -> grpc.aio.Server:
    """Make a server; `connection_age_ms` ends connections that hold calls open without a word."""
    options: list[tuple[str, int]] = [
        # Two servers would share one port without a word.
        ("grpc.so_reuseport", int(reuse_port)),
        ("grpc.max_receive_message_length", receive_bytes_max),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.max_concurrent_streams", STREAMS_MAX),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MS_MIN),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    if connection_age_ms is not None:
        options += [
            ("grpc.max_connection_age_ms", connection_age_ms),
            # Streams end themselves sooner, in order.
            ("grpc.max_connection_age_grace_ms", connection_age_ms),
        ]
    return grpc.aio.server(
        interceptors=interceptors, options=options, maximum_concurrent_rpcs=rpcs_max
    )


def client_options(receive_bytes_max: int) -> list[tuple[str, int]]:
    """Return the options of a channel between our own servers."""
    return [
        ("grpc.max_receive_message_length", receive_bytes_max),
        ("grpc.keepalive_time_ms", PING_INTERVAL_MS_MIN * 2),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.use_local_subchannel_pool", 1),
        # The processor is one of ours on our own network: no proxy of the environment.
        ("grpc.enable_http_proxy", 0),
    ]


def bind(server: grpc.aio.Server, listen: str) -> int:
    """Bind the server and return its port; raises when the port is taken."""
    addresses.host_and_port(listen)
    port = server.add_insecure_port(listen)
    if port == 0:
        raise OSError(f"cannot listen on {listen}")
    return port


def enable_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Show the contract; imported only when asked for, so that production does without it."""
    from grpc_reflection.v1alpha import reflection

    reflection.enable_server_reflection((*services, reflection.SERVICE_NAME), server)


class Health:
    """Answers grpc.health.v1 Check; Watch is not offered: it lets strangers hold calls open."""

    def __init__(self, services: Sequence[str] = ()) -> None:
        self._services = frozenset(("", *services))
        self._is_serving = False

    @property
    def is_serving(self) -> bool:
        return self._is_serving

    def set_serving(self, is_serving: bool) -> None:
        self._is_serving = is_serving

    async def check(self, request: bytes, context: Context) -> bytes:
        try:
            service = health_pb2.HealthCheckRequest.FromString(request).service
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The message is malformed.")
        if len(service) > _HEALTH_SERVICE_LENGTH_MAX or service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "The service is unknown.")
        return _HEALTH_ANSWERS[self._is_serving]

    def handler(self) -> RpcHandler:
        return grpc.unary_unary_rpc_method_handler(self.check)

    def add_to(self, server: grpc.aio.Server) -> None:
        service, _, method = HEALTH_CHECK[1:].partition("/")
        handlers = {method: self.handler()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


_Status = health_pb2.HealthCheckResponse
_HEALTH_ANSWERS: Final[dict[bool, bytes]] = {
    True: _Status(status=_Status.SERVING).SerializeToString(),
    False: _Status(status=_Status.NOT_SERVING).SerializeToString(),
}


class Tasks:
    """Background tasks that somebody knows of: drained at the end."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def drain(self, timeout_seconds: float) -> None:
        """Wait for what runs; cancel what is left when the time is over."""
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=timeout_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


Step = Callable[[], Awaitable[None]]


class Stoppable(Protocol):
    """A server that ends what is under way, for so many seconds, and then cuts it off."""

    async def stop(self, grace: float | None) -> None: ...


async def stop_gracefully(
    server: Stoppable,
    health: Health,
    *,
    quiet_seconds: float,
    drain_seconds: float,
    before_stop: Sequence[Step] = (),
    after_stop: Sequence[Step] = (),
) -> None:
    """Stop so that nobody notices: say so, wait, let calls end, drain, close.

    `before_stop` is for servers whose own long streams would keep the server waiting.
    """
    health.set_serving(False)
    await asyncio.sleep(quiet_seconds)
    for step in before_stop:
        await step()
    await server.stop(drain_seconds)
    for step in after_stop:
        await step()


async def wait_for_stop_signal() -> str:
    """Return the name of SIGTERM or SIGINT once it comes; a second one ends the process."""
    loop = asyncio.get_running_loop()
    received: asyncio.Future[str] = loop.create_future()

    def on_signal(number: signal.Signals) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
        received.set_result(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return await received


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a server on a loop of its own."""
    collector.begin()
    uvloop.run(_collecting(main))


async def _collecting(main: Coroutine[Any, Any, None]) -> None:
    collecting = asyncio.create_task(collector.run())
    try:
        await main
    finally:
        collecting.cancel()


def code_name(context: Context) -> str:
    """Return the name of the code that an aborted call was answered with."""
    code: Any = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else _NAME_BY_CODE.get(code, "UNKNOWN")
