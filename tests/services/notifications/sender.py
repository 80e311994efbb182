"""A process that sends e-mails and dies where it is told to: `python -m tests...sender`."""

import asyncio
import json
import sys
from typing import Any

from kit import failpoints
from services.database import open_pool
from services.notifications.kinds import Channel
from services.notifications.mail import MailSender, MailSettings
from services.notifications.worker import Limits, Worker


async def send(told: dict[str, Any]) -> None:
    """Send until killed."""
    pool = await open_pool(told["url"], "test sender", size=4)
    sender = MailSender(
        MailSettings(
            "127.0.0.1", told["port"], "a@shop.example.com", "", "shop.example.com", "none"
        )
    )
    limits = Limits(
        at_a_time=told["at_a_time"], poll_seconds=0.02, lease_seconds=told["lease_seconds"]
    )
    if told["point"]:
        failpoints.arm(told["point"], told["passes"])
    await Worker(Channel.EMAIL, sender, pool, limits=limits).run()


if __name__ == "__main__":
    asyncio.run(send(json.loads(sys.argv[1])))
