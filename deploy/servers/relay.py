"""The relay process: `python -m deploy.servers.relay [--check]`."""

import asyncio
import functools
import secrets
import socket
from typing import Final

from deploy import COMPILED
from deploy.servers import command
from kit import logs, metrics, settings
from kit.serving import wait_for_stop_signal
from kit.shard_settings import ShardSettings
from processor.relay import Relay
from storage.archive.archiver import Archiver, Wishes
from storage.archive.folder import Folder
from storage.kafka import config
from storage.kafka.publisher import KafkaPublisher
from storage.postgres.journal_source import JournalSource, ReleasesThere

DAY_SECONDS: Final = 86_400.0

_log: Final = logs.logger()


async def serve(relay: settings.RelaySettings, stop: asyncio.Future[str] | None = None) -> None:
    """Publish until told to stop, by `stop` or by a signal."""
    configuration = config.of(relay, "tender-relay")
    shards = relay.shards()
    # A restarted process is another owner.
    owner = f"{socket.gethostname()}:{secrets.token_hex(4)}"
    dsns = {each.shard: each.database_url for each in shards}
    relays = [_relay(relay, configuration, each, owner, dsns) for each in shards]
    archivers = _archivers(relay, dsns)
    metrics_server = metrics.serve(
        relay.metrics_listen, lambda: not any(one.trouble for one in relays)
    )
    running = [asyncio.create_task(one.run()) for one in relays]
    archiving = [asyncio.create_task(one.run()) for one in archivers]
    _log.info(
        "relay_started", metrics_port=metrics_server.port, shards=sorted(dsns), compiled=COMPILED
    )
    stopped = asyncio.ensure_future(stop or wait_for_stop_signal())
    # One that ends by itself is a bug, and must not look like a relay that has nothing to do.
    await asyncio.wait([stopped, *running, *archiving], return_when=asyncio.FIRST_COMPLETED)
    why = stopped.result() if stopped.done() else "failed"
    _log.info("relay_stopping", why=why)
    for one in relays:
        one.stop()
    # What an archiver is doing is done again by the next one.
    for task in archiving:
        task.cancel()
    _, late = await asyncio.wait(running, timeout=relay.drain_seconds)
    for task in late:
        task.cancel()
    ends = await asyncio.gather(*running, *archiving, return_exceptions=True)
    stopped.cancel()
    metrics_server.close()
    _log.info("relay_stopped")
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
            raise end


def _archivers(relay: settings.RelaySettings, dsns: dict[str, str]) -> list[Archiver]:
    if relay.archive_folder is None:
        return []
    wishes = Wishes(retention_seconds=relay.journal_retention_days * DAY_SECONDS)
    files = Folder(relay.archive_folder)
    return [Archiver(shard, dsns, files, wishes) for shard in sorted(dsns)]


def _relay(
    relay: settings.RelaySettings,
    configuration: config.Properties,
    shard: ShardSettings,
    owner: str,
    dsns: dict[str, str],
) -> Relay:
    return Relay(
        shard.shard,
        owner,
        JournalSource(shard.database_url, shard.shard),
        functools.partial(KafkaPublisher, configuration, relay.topic_prefix),
        ReleasesThere(shard.shard, dsns),
    )


if __name__ == "__main__":
    command.run("relay", __doc__, settings.RelaySettings, serve)
