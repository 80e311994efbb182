"""The reporting service: `python -m deploy.servers.reporting [--check]`."""

import asyncio

from deploy.servers import command, service
from kit import settings
from services import database
from services.reporting import told
from services.reporting.brokers import GroupBrokers
from services.reporting.handler import NAME, Projection
from services.reporting.histories import Histories
from services.reporting.service import Reporting
from services.reporting.watch import Watch
from storage.kafka import config

READERS_MAX = 4
"""Answers at a time; the consumer has a connection of its own."""


async def serve(
    reporting: settings.ReportingSettings, stop: asyncio.Future[str] | None = None
) -> None:
    """Take events in and answer until told to stop, by `stop` or by a signal."""
    brokers = GroupBrokers(
        config.of(reporting, "tender-reporting-watch"),
        reporting.topic_prefix + NAME,
        [reporting.topic_prefix + topic for topic in told.TOPICS],
    )
    watch = Watch(brokers)
    pool = await database.open_pool(reporting.database_url, "tender reporting", size=READERS_MAX)
    try:
        await service.serve(
            reporting,
            NAME,
            calls=Reporting(pool, lambda: watch.complete_at).calls(),
            parts=[watch, Histories(pool)],
            listening=[service.events(Projection())],
            stop=stop,
        )
    finally:
        await database.close_pool(pool)


if __name__ == "__main__":
    command.run(NAME, __doc__ or "", settings.ReportingSettings, serve)
