"""A consumer as a process of its own that may be told where to die, and keeps a row per event.

`python -m tests.faults.events.bookkeeper BOOTSTRAP DATABASE_URL [POINT:PASSES]`
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from kit import failpoints, logs, serving
from processor.consumers.delivery import EventReader
from processor.consumers.loop import Consumer
from storage.kafka.consumer import opener
from storage.kafka.parking import KafkaParking
from storage.postgres.inbox import PostgresInbox
from tender.v1 import event_pb2
from tests.consumers.events import Connection

TOPIC: Final = "payments"
GROUP: Final = "bookkeeper"
QUICKLY: Final[Mapping[str, int]] = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500}
READ: Final = EventReader(frozenset({1}))
_NOTE: Final = """
INSERT INTO effects (event_id, entity_id, version)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
"""


class Bookkeeper:
    """Writes a row for each event; nothing but the chassis keeps it from writing two."""

    name = GROUP
    topics: Sequence[str] = (TOPIC,)

    async def handle(self, messages: Sequence[event_pb2.Event], transaction: Connection) -> None:
        await transaction.execute(
            _NOTE,
            [message.id for message in messages],
            [message.entity_id for message in messages],
            [message.version for message in messages],
        )


async def consume(bootstrap: str, database_url: str) -> None:
    """Consume until SIGTERM."""
    brokers = {"bootstrap.servers": bootstrap}
    consumer = Consumer(
        Bookkeeper(),
        opener({**brokers, **QUICKLY}, GROUP, [TOPIC]),
        PostgresInbox(database_url, "tests bookkeeper"),
        KafkaParking(brokers),
        READ,
    )

    async def stop() -> None:
        await serving.wait_for_stop_signal()
        consumer.stop()

    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(stop())
        await consumer.run()
        stopping.cancel()


def main() -> None:
    """Arm what is named and consume."""
    bootstrap, database_url, *armed = sys.argv[1:]
    for text in armed:
        name, _, passes = text.partition(":")
        failpoints.arm(name, int(passes))
    logs.configure("warning", server="bookkeeper")
    serving.run(consume(bootstrap, database_url))


if __name__ == "__main__":
    main()
