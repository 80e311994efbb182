"""A consumer as a process of its own, which may be told where to die.

`python -m tests.consumers.member BOOTSTRAP TOPIC DATABASE_URL [POINT:PASSES]`
"""

import asyncio
import sys
from collections.abc import Mapping

from kit import failpoints, logs, serving
from processor.consumers.loop import Consumer, Limits
from storage.kafka.consumer import opener
from storage.kafka.parking import KafkaParking
from storage.postgres.inbox import PostgresInbox
from tests.consumers.events import READ, Bookkeeper

BUGS = frozenset(f"s1.abc.{number}.0" for number in (50, 150))
QUICKLY: Mapping[str, int] = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 300}
"""So that a member that was killed is not waited for longer than brokers want."""


async def consume(bootstrap: str, topic: str, database_url: str) -> None:
    """Consume until SIGTERM."""
    brokers = {"bootstrap.servers": bootstrap}
    handler = Bookkeeper(bugs=BUGS)
    consumer = Consumer(
        handler,
        opener({**brokers, **QUICKLY}, f"bookkeeper-{topic}", [topic]),
        PostgresInbox(database_url, "test-member"),
        KafkaParking(brokers),
        READ,
        limits=Limits(portion_max=10),
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
    bootstrap, topic, database_url, *armed = sys.argv[1:]
    for text in armed:
        name, _, passes = text.partition(":")
        failpoints.arm(name, int(passes))
    logs.configure("info", server="member")
    serving.run(consume(bootstrap, topic, database_url))


if __name__ == "__main__":
    main()
