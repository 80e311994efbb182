"""A worker as a process of its own, which may be told where to die.

`python -m tests.services.webhooks.dying DATABASE_URL KEY [POINT:PASSES]`
"""

import sys

from kit import failpoints, logs, serving
from services import database
from services.webhooks.queue_store import QueueStore
from services.webhooks.resolving import GuardedResolver
from services.webhooks.schedule import DeadRules
from services.webhooks.sealing import Keys
from services.webhooks.sending import Sender
from services.webhooks.turns import Limits
from services.webhooks.urls import Rules
from services.webhooks.worker import DeliveryWorker

LIMITS = Limits(DeadRules(days=5, failures=20), attempt_seconds_max=2.0, lease_margin_seconds=0.5)
"""Short leases, for each death is waited for."""


async def deliver(url: str, keys: str) -> None:
    """Deliver until SIGTERM."""
    pool = await database.open_pool(url, "test-dying", size=4)
    resolver = GuardedResolver(allow_loopback=True)
    sender = Sender(Rules(allow_loopback=True), resolver, connections_max=8)
    worker = DeliveryWorker(
        QueueStore(pool, "dying", LIMITS.lease),
        sender,
        Keys.parse([keys], "test"),
        LIMITS,
        concurrency=8,
        poll_seconds=0.02,
    )
    try:
        await worker.run()
    finally:
        await sender.close()
        await resolver.close()
        await database.close_pool(pool)


def main() -> None:
    """Arm what is named and deliver."""
    url, keys, *armed = sys.argv[1:]
    for text in armed:
        name, _, passes = text.partition(":")
        failpoints.arm(name, int(passes))
    logs.configure("info", server="dying")
    serving.run(deliver(url, keys))


if __name__ == "__main__":
    main()
