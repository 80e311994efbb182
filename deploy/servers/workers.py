"""Several gateway processes behind one port: one event loop, and so one core, is in each.

The kernel spreads connections over the processes (SO_REUSEPORT). They are started anew, never
forked: gRPC does not survive a fork. A worker that dies is replaced; a supervisor that dies closes
the pipe on which its workers wait, and they stop in order.
"""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import time
from typing import Final

from kit import addresses, logs, serving, settings

_MODULE: Final = "deploy.servers.gateway_worker"
BACKOFF_SECONDS_MIN: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 10.0
_STEADY_SECONDS: Final = 10.0  # A worker that lived so long did not die of its start.
_END_SECONDS_MAX: Final = 5.0  # Beyond what a worker grants itself.

_log = logs.logger()


async def supervise(gateway: settings.GatewaySettings) -> None:
    """Keep as many workers running as the settings say, until a signal to stop."""
    _require_free(gateway.gateway_listen)
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for index in range(gateway.gateway_workers):
            group.create_task(_keep(index, gateway, stopping))
        _log.info(
            "gateway_supervisor_started",
            listen=gateway.gateway_listen,
            workers=gateway.gateway_workers,
        )
        why = await serving.wait_for_stop_signal()
        _log.info("gateway_supervisor_stopping", why=why)
        stopping.set()
    _log.info("gateway_supervisor_stopped")


def metrics_listen(gateway: settings.GatewaySettings, index: int) -> str:
    """Return where a worker shows its metrics: the port of the settings, plus its number."""
    host, _, _ = gateway.metrics_listen.rpartition(":")
    _, port = addresses.host_and_port(gateway.metrics_listen)
    return f"{host}:{port + index if port else 0}"


async def _keep(index: int, gateway: settings.GatewaySettings, stopping: asyncio.Event) -> None:
    """Start a worker, and another one whenever it dies."""
    backoff = BACKOFF_SECONDS_MIN
    while not stopping.is_set():
        started_at = time.monotonic()
        worker = await _start(index, gateway)
        exit_code = await _until_exit(worker, gateway, stopping)
        if stopping.is_set():
            return
        if time.monotonic() - started_at > _STEADY_SECONDS:
            backoff = BACKOFF_SECONDS_MIN
        _log.error("gateway_worker_died", worker=index, exit_code=exit_code, pid=worker.pid)
        await _pause(stopping, backoff * random.uniform(0.5, 1))
        backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)


async def _start(index: int, gateway: settings.GatewaySettings) -> asyncio.subprocess.Process:
    environment = os.environ | {
        f"{settings.PREFIX}METRICS_LISTEN": metrics_listen(gateway, index),
        f"{settings.PREFIX}GATEWAY_WORKERS": "1",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", _MODULE),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
    )


async def _until_exit(
    worker: asyncio.subprocess.Process,
    gateway: settings.GatewaySettings,
    stopping: asyncio.Event,
) -> int:
    """Return the worker's exit code; once we stop, it stops too, in order or else by force."""
    exited = asyncio.ensure_future(worker.wait())
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((exited, stop), return_when=asyncio.FIRST_COMPLETED)
        if not exited.done():
            worker.send_signal(signal.SIGTERM)
            grace = gateway.quiet_seconds + gateway.drain_seconds + _END_SECONDS_MAX
            await asyncio.wait((exited,), timeout=grace)
            if not exited.done():
                _log.error("gateway_worker_killed", pid=worker.pid)
                worker.kill()
        return await exited
    finally:
        stop.cancel()


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


def _require_free(listen: str) -> None:
    """Workers share their port with whoever else shares it: make sure that nobody does."""
    host, port = addresses.host_and_port(listen)
    if port == 0:
        raise settings.BadSettings("several workers need a port that is not 0")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise settings.BadSettings(f"cannot listen on {listen}: {error.strerror}") from None


def stop_with_the_supervisor() -> None:
    """In a worker: stop in order when the supervisor is gone, whose end closes our input."""
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _on_input)


def _on_input() -> None:
    if not os.read(sys.stdin.fileno(), 1):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        os.kill(os.getpid(), signal.SIGTERM)
