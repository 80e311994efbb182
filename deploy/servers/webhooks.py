"""The process of the webhooks service: `python -m deploy.servers.webhooks [--check]`."""

import asyncio
import datetime
import secrets
import socket

from deploy.servers import command, service
from kit import settings
from services import database
from services.webhooks import catalogue, urls
from services.webhooks.delivery_store import DeliveryStore
from services.webhooks.endpoint_store import EndpointStore
from services.webhooks.guarding import UrlGuard
from services.webhooks.handler import WebhookHandler
from services.webhooks.queue_store import QueueStore
from services.webhooks.resolving import GuardedResolver
from services.webhooks.rpcs import WebhookCalls
from services.webhooks.schedule import DeadRules
from services.webhooks.sealing import BadKeys, Keys
from services.webhooks.sending import Sender
from services.webhooks.turns import Limits
from services.webhooks.upkeep import EVERY_SECONDS, Upkeep
from services.webhooks.worker import DeliveryWorker

NAME = "webhooks"
CONNECTIONS = 8
"""Of the pool that workers and calls share: each uses one for some milliseconds at a time."""


async def serve(
    webhooks: settings.WebhookSettings,
    stop: asyncio.Future[str] | None = None,
    *,
    limits: Limits | None = None,
) -> None:
    """Queue, deliver and answer until told to stop, by `stop` or by a signal.

    Other `limits` of the worker are for tests.
    """
    keys = keys_of(webhooks)
    rules = urls.Rules(frozenset(webhooks.webhooks_ports), webhooks.webhooks_allow_loopback)
    dead = DeadRules(webhooks.webhooks_dead_days, webhooks.webhooks_dead_failures)
    bounds = limits or Limits(dead)
    # A restarted process is another owner.
    owner = f"{socket.gethostname()}:{secrets.token_hex(4)}"
    pool = await database.open_pool(webhooks.database_url, f"tender {NAME}", size=CONNECTIONS)
    resolver = GuardedResolver(allow_loopback=rules.allow_loopback)
    sender = Sender(
        rules,
        resolver,
        connections_max=webhooks.webhooks_concurrency,
        seconds_max=bounds.attempt_seconds_max,
    )
    worker = DeliveryWorker(
        QueueStore(pool, owner, bounds.lease),
        sender,
        keys,
        bounds,
        concurrency=webhooks.webhooks_concurrency,
    )
    kept = datetime.timedelta(days=webhooks.webhooks_log_days)
    calls = WebhookCalls(
        EndpointStore(pool),
        DeliveryStore(pool),
        keys,
        UrlGuard(rules, resolver),
        webhooks.webhooks_topics,
    )
    try:
        await service.serve(
            webhooks,
            NAME,
            calls=calls.calls(),
            parts=[worker, Upkeep(pool, keys, kept, EVERY_SECONDS)],
            listening=[
                service.events(
                    WebhookHandler(webhooks.webhooks_topics, webhooks.webhooks_pending_max),
                    frozenset(catalogue.TOPIC_OF),
                )
            ],
            stop=stop,
        )
    finally:
        await sender.close()
        await resolver.close()
        await database.close_pool(pool)


def keys_of(webhooks: settings.WebhookSettings) -> Keys:
    """Return the keys that secrets are encrypted with. Raises BadSettings."""
    try:
        return Keys.read(webhooks.webhooks_keys_file)
    except BadKeys as bad:
        raise settings.BadSettings(f"TENDER_WEBHOOKS_KEYS_FILE: {bad}") from None


if __name__ == "__main__":
    command.run(NAME, __doc__, settings.WebhookSettings, serve)
