"""The operations process, the way in by Kafka: `python -m deploy.servers.operations [--check]`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import Any, Final

from google.protobuf.message import Message

from deploy.servers import command, service
from gateway import directory, lane_stream, lanes
from gateway.errors import Refused
from gateway.intake import ports
from gateway.intake.carrying import Carrier
from gateway.intake.reading import Reader
from gateway.intake.seals import Seals, derived
from gateway.intake.submission import Operations, Submission
from gateway.intake.worker import CONSUMER, Worker
from gateway.topology import Topology
from kit import settings
from processor.consumers import ports as consuming
from processor.consumers.delivery import Delivery, Partition
from processor.consumers.letters import Letter
from services import calls
from services.calls import Calls, Problem
from storage.kafka import config
from storage.kafka.consumer import opener
from storage.kafka.parking import KafkaParking
from storage.kafka.sender import KafkaSender
from storage.postgres.operations import OperationStore
from tender.v1 import bulk_pb2, lane_pb2, operation_pb2

NAME: Final = CONSUMER
COMMANDS: Final = "commands"
OUTCOMES: Final = "command-outcomes"
OUTCOMES_TIMEOUT_MS: Final = 10_000
"""Nobody waits for them: brokers that are restarted are waited for."""
_DAY_MS: Final = 24 * 3_600 * 1_000


async def serve(
    operations: settings.OperationSettings, stop: asyncio.Future[str] | None = None
) -> None:
    """Accept commands, carry them to their lanes and tell what became of them, until stopped."""
    configuration = config.of(operations, "tender-operations")
    prefix, token = operations.topic_prefix, operations.internal_token()
    seals = Seals(operations.seal_keys() or (derived(token),))
    retention_ms = operations.outcome_retention_days * _DAY_MS
    store = OperationStore(operations.database_url, "tender operations")
    incoming = KafkaSender(configuration, prefix + COMMANDS)
    outcomes = KafkaSender(configuration, prefix + OUTCOMES, timeout_ms=OUTCOMES_TIMEOUT_MS)
    channels = {each: lane_stream.create_channel(each) for each in operations.processor_targets}
    topology = Topology()
    all_lanes = lanes.Lanes(
        topology,
        channels,
        token,
        region=operations.region,
        in_flight_max=operations.commands_under_way_max,
    )
    processors = directory.Directory(channels, token, topology, all_lanes.look_again)
    worker = Worker(
        _opener(opener(configuration, f"{prefix}{NAME}", [prefix + COMMANDS])),
        Reader(seals, prefix + COMMANDS, frozenset(operations.direct_tenants)),
        Carrier(all_lanes, operations.commands_under_way_max),
        outcomes,
        store,
        _Parking(KafkaParking(configuration)),
        topic=prefix + COMMANDS,
        retention_ms=retention_ms,
    )
    submission = Submission(incoming, seals, accepts_loss=operations.accept_loss)
    told = Operations(store, seals, retention_ms=retention_ms)
    try:
        await service.serve(
            operations,
            NAME,
            calls=Calls(
                {
                    "SubmitPayment": (bulk_pb2.RawSubmitPaymentRequest, _public(submission.submit)),
                    "GetOperation": (operation_pb2.GetOperationRequest, _public(told.get)),
                }
            ),
            parts=[incoming, outcomes, all_lanes, processors, _Heard(processors, worker)],
            stop=stop,
        )
    finally:
        await store.close()
        for channel in channels.values():
            await channel.close()


class _Heard:
    """A worker that begins once it is known which lanes there are."""

    def __init__(self, processors: directory.Directory, worker: Worker[Partition]) -> None:
        self._processors = processors
        self._worker = worker

    async def run(self) -> None:
        await self._processors.heard()
        await self._worker.run()


def _public(
    answer: Callable[[Any, lane_pb2.Principal], Awaitable[Message]],
) -> Callable[[Any, lane_pb2.Principal], Awaitable[Message]]:
    """Let a handler's refusals go to the gateway that asks."""

    async def answered(request: Any, principal: lane_pb2.Principal) -> Message:
        try:
            return await answer(request, principal)
        except Refused as refused:
            raise calls.Refused(
                refused.reason,
                message=refused.message,
                metadata=refused.metadata,
                problems=[Problem(each.field, each.description) for each in refused.violations],
            ) from None

    return answered


class _Source:
    """A member of the group, as the worker takes it."""

    def __init__(self, source: consuming.Source) -> None:
        self._source = source

    @property
    def owned(self) -> Set[Partition]:
        return self._source.owned

    async def poll(
        self, count_max: int, seconds_max: float, paused: Set[Partition]
    ) -> ports.Polled[Partition]:
        try:
            return await self._source.poll(count_max, seconds_max, paused)
        except consuming.SourceLost as lost:
            raise ports.SourceGone(str(lost)) from None

    def finish(self, positions: Mapping[Partition, int]) -> None:
        self._source.finish(positions)

    async def close(self) -> None:
        await self._source.close()

    def number(self, place: Partition) -> int:
        return place.number


def _opener(
    open_source: Callable[[], Awaitable[consuming.Source]],
) -> Callable[[], Awaitable[ports.Source[Partition]]]:
    async def opened() -> ports.Source[Partition]:
        try:
            return _Source(await open_source())
        except consuming.SourceLost as lost:
            raise ports.SourceGone(str(lost)) from None

    return opened


class _Parking:
    """The dead letters of commands, beside those of consumers."""

    def __init__(self, parking: KafkaParking) -> None:
        self._parking = parking

    async def park(self, letters: Sequence[ports.DeadLetter[Partition]]) -> Sequence[str]:
        return await self._parking.park([_letter(each) for each in letters])

    async def close(self) -> None:
        await self._parking.close()


def _letter(dead: ports.DeadLetter[Partition]) -> Letter:
    found = dead.delivery
    delivery = Delivery(
        found.partition, found.offset, found.key, found.value, found.headers, found.timestamp
    )
    return Letter(
        consumer=NAME,
        cause=dead.cause,
        text=dead.text,
        attempts=1,
        first_at=dead.at,
        last_at=dead.at,
        delivery=delivery,
    )


if __name__ == "__main__":
    command.run(NAME, __doc__, settings.OperationSettings, serve)
