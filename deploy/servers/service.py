"""What the processes of services behind Kafka do alike: consume, work, answer, stop in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from deploy import COMPILED
from kit import internal_auth, logs, metrics, serving
from kit.settings import ServiceSettings
from processor.consumers.delivery import EventReader, Reader
from processor.consumers.handlers import Handler
from processor.consumers.loop import Consumer
from services.calls import Calls
from storage.kafka import config
from storage.kafka.consumer import opener
from storage.kafka.parking import KafkaParking
from storage.postgres.inbox import PostgresInbox

CALLS_MAX: Final = 500
"""Answered at a time, of all methods."""
SCHEMA_VERSIONS: Final = frozenset({1})

_log: Final = logs.logger()


class Part(Protocol):
    """Something that works until it is cancelled."""

    async def run(self) -> None: ...


class Listening(NamedTuple):
    """A handler, and how what it listens to is read."""

    handler: Handler[Any, Any]
    read: Reader[Any]


def events(handler: Handler[Any, Any], types: frozenset[str] | None = None) -> Listening:
    """Listen to `tender.v1.Event`, of these types or of all."""
    return Listening(handler, EventReader(SCHEMA_VERSIONS, types))


async def serve(
    service: ServiceSettings,
    name: str,
    *,
    calls: Calls | None = None,
    parts: Sequence[Part] = (),
    listening: Sequence[Listening] = (),
    stop: asyncio.Future[str] | None = None,
) -> None:
    """Consume, work and answer until told to stop, by `stop` or by a signal.

    Whatever ends by itself ends all of it: whoever supervises starts it again.
    """
    consumers = [_consumer(service, name, each) for each in listening]
    health = serving.Health()
    metrics_server = metrics.serve(
        service.metrics_listen,
        lambda: health.is_serving and not any(one.problem for one in consumers),
    )
    stopped = asyncio.ensure_future(stop or serving.wait_for_stop_signal())
    try:
        async with _server(service, name, calls, health):
            consuming = [asyncio.create_task(one.run()) for one in consumers]
            working = [asyncio.create_task(part.run()) for part in parts]
            health.set_serving(True)
            _log.info(
                "service_started",
                service=name,
                listen=service.listen if calls else "",
                metrics_port=metrics_server.port,
                compiled=COMPILED,
            )
            await asyncio.wait([stopped, *consuming, *working], return_when=asyncio.FIRST_COMPLETED)
            why = stopped.result() if stopped.done() else "failed"
            _log.info("service_stopping", service=name, why=why)
            health.set_serving(False)
            for one in consumers:
                one.stop()
            if consuming:
                await asyncio.wait(consuming, timeout=service.drain_seconds)
        ends = await _ended([*consuming, *working])
    finally:
        stopped.cancel()
        metrics_server.close()
    _log.info("service_stopped", service=name)
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
            raise end


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> Sequence[BaseException | None]:
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _server(
    service: ServiceSettings, name: str, calls: Calls | None, health: serving.Health
) -> AsyncIterator[None]:
    """Answer gateways within the block, if there is anything to answer."""
    if calls is None:
        yield
        return
    guard = internal_auth.InternalGuard(service.internal_token(), server=name)
    server = serving.create_server([guard], rpcs_max=CALLS_MAX)
    calls.add_to(server)
    health.add_to(server)
    serving.bind(server, service.listen)
    await server.start()
    try:
        yield
    finally:
        await server.stop(service.drain_seconds)


def _consumer(service: ServiceSettings, name: str, one: Listening) -> Consumer[Any, Any]:
    configuration = config.of(service, f"tender-{name}")
    topics = [service.topic_prefix + topic for topic in one.handler.topics]
    return Consumer(
        one.handler,
        opener(configuration, f"{service.topic_prefix}{one.handler.name}", topics),
        PostgresInbox(service.database_url, f"tender {one.handler.name}"),
        KafkaParking(configuration),
        one.read,
    )
