"""The service's database, endpoints in it, and workers that deliver from it."""

import asyncio
import contextlib
import datetime
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

import services.webhooks
from deploy.local.stack import Stack
from services import database
from services.database import Pool
from services.webhooks import ids, resolving, signing, urls
from services.webhooks.delivery_store import DeliveryStore
from services.webhooks.endpoint_store import FIRST_SECRET, EndpointStore, New, Owner
from services.webhooks.handler import NAME, WebhookHandler
from services.webhooks.queue_store import QueueStore
from services.webhooks.schedule import DeadRules, Result
from services.webhooks.sealing import Keys, place_of
from services.webhooks.sending import Sender
from services.webhooks.turns import Limits
from services.webhooks.upkeep import Upkeep
from services.webhooks.worker import DeliveryWorker
from storage import migrate
from storage.postgres.inbox import PostgresInbox
from tender.v1 import event_pb2
from tests.consumers.conftest import eventually
from tests.databases import with_database

MIGRATIONS: Final = Path(services.webhooks.__file__).parent / "migrations"
NUMBERS = itertools.count(1)
TENANT: Final = "dev"
MERCHANT: Final = "mer_eu_" + "0" * 22
OTHER_MERCHANT: Final = "mer_eu_" + "1" * 22
KEYS: Final = Keys.parse(["one:" + "11" * 32], "test")
DEVELOPMENT: Final = urls.Rules(allow_loopback=True)
LIMITS: Final = Limits(DeadRules(days=5, failures=20), attempt_seconds_max=2.0)


def event(
    number: int,
    *,
    type: str = "payment_captured",
    payment: str = "pay_1",
    merchant: str = MERCHANT,
    tenant: str = TENANT,
) -> event_pb2.Event:
    """Return the event of a payment, as the relay tells it."""
    made = event_pb2.Event(
        id=f"s1.abc.{number}.0",
        type=type,
        schema_version=1,
        tenant_id=tenant,
        shard="s1",
        incarnation="abc",
        seq=number,
        entity_id=payment,
        version=number,
    )
    made.create_time.GetCurrentTime()
    if type.startswith("payment_reversed"):
        return made
    made.payment.payment.id = payment
    made.payment.payment.merchant_id = merchant
    made.payment.payment.version = number
    made.payment.payment.amount.currency_code = "EUR"
    made.payment.payment.amount.minor_units = 1_050
    return made


@dataclass
class Office:
    """The database of the service, and what is done to it."""

    url: str
    pool: Pool
    endpoints: EndpointStore
    deliveries: DeliveryStore
    secrets: dict[str, str] = field(default_factory=dict)

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Return the rows of a query."""
        async with self.pool.acquire(timeout=5) as connection:
            return list(await connection.fetch(sql, *values))

    async def add(
        self,
        url: str,
        *,
        merchant: str = MERCHANT,
        types: Sequence[str] = (),
        tenant: str = TENANT,
    ) -> str:
        """Register an endpoint, without looking at its URL; return its id."""
        new = New(ids.new(ids.ENDPOINT), merchant, url, list(types), "")
        secret = self.secrets[new.endpoint_id] = signing.new_secret()
        sealed = KEYS.seal(secret, place_of(new.endpoint_id, FIRST_SECRET))
        owner = Owner(tenant, "")
        await self.endpoints.create(owner, f"req-{next(NUMBERS)}", new, sealed, 1_000)
        return new.endpoint_id

    async def happen(self, *events: event_pb2.Event, pending_max: int = 1_000) -> None:
        """Let the consumer handle events, as the chassis does."""
        inbox = PostgresInbox(self.url, "test-webhooks")
        handler = WebhookHandler(("payments",), pending_max)
        try:
            async with inbox.batch(NAME, [one.id for one in events]) as (transaction, fresh):
                await handler.handle([one for one in events if one.id in fresh], transaction)
        finally:
            await inbox.close()

    async def log(self, endpoint_id: str) -> list[tuple[str, str, str, int]]:
        """Return event, state, cause and attempts of an endpoint's deliveries, as queued first."""
        rows = await self.fetch(
            "SELECT event_id, state, cause, attempts FROM deliveries WHERE endpoint_id = $1"
            " ORDER BY delivery_id",
            endpoint_id,
        )
        return [tuple(row) for row in rows]

    async def states(self, endpoint_id: str) -> list[str]:
        """Return the states of an endpoint's deliveries, as queued first."""
        return [state for _, state, _, _ in await self.log(endpoint_id)]

    async def due_now(self, endpoint_id: str) -> None:
        """Let no backoff keep an endpoint's head from being tried."""
        await self.fetch(
            "WITH head AS (UPDATE deliveries SET next_at = NULL WHERE endpoint_id = $1)"
            " UPDATE queues SET due_at = now(), touched = touched + 1 WHERE endpoint_id = $1",
            endpoint_id,
        )

    def store(self, owner: str = "worker", limits: Limits = LIMITS) -> QueueStore:
        return QueueStore(self.pool, owner, limits.lease)

    def upkeep(self, keys: Keys = KEYS, kept_days: float = 14) -> Upkeep:
        return Upkeep(self.pool, keys, datetime.timedelta(days=kept_days), 3_600.0)


@pytest.fixture
async def office(engines: Stack) -> AsyncIterator[Office]:
    """An empty one."""
    name = f"webhooks_{next(NUMBERS)}_{id(engines):x}"
    owner_url = engines.endpoints.owner_url
    administrator = await asyncpg.connect(with_database(owner_url, "template1"))
    try:
        await administrator.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        url = with_database(owner_url, name)
        await migrate.migrate(url, MIGRATIONS)
        pool = await database.open_pool(url, "test-webhooks", size=8)
        yield Office(url, pool, EndpointStore(pool), DeliveryStore(pool))
        await database.close_pool(pool)
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await administrator.close()


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    """What sends to this machine."""
    resolver = resolving.GuardedResolver(allow_loopback=True)
    made = Sender(
        DEVELOPMENT,
        resolver,
        connections_max=16,
        seconds_max=LIMITS.attempt_seconds_max,
    )
    yield made
    await made.close()
    await resolver.close()


class Recorder:
    """Sends nothing: notes what would be sent, and answers what it is told to."""

    def __init__(self, *statuses: int) -> None:
        self.sent: list[tuple[str, str]] = []
        self._statuses = list(statuses)

    async def send(self, url: str, headers: dict[str, str], body: str) -> Result:
        self.sent.append((url, headers["webhook-id"]))
        code = self._statuses.pop(0) if self._statuses else 200
        return Result(code, "" if code < 300 else "STATUS", 0.01)


def worker_of(
    office: Office,
    sender: Any,
    *,
    limits: Limits = LIMITS,
    owner: str = "worker",
    concurrency: int = 16,
) -> DeliveryWorker:
    """Return a worker on an office's database."""
    return DeliveryWorker(
        office.store(owner, limits),
        sender,
        KEYS,
        limits,
        concurrency=concurrency,
        poll_seconds=0.02,
        fraction=lambda: 0.5,
    )


@contextlib.asynccontextmanager
async def running(*workers: DeliveryWorker) -> AsyncIterator[None]:
    """Run workers until the end of the block; what they raise fails the test."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def ended(office: Office, endpoint_id: str, count: int) -> None:
    """Wait until so many deliveries of an endpoint ended."""
    query = "SELECT count(*) FROM deliveries WHERE endpoint_id = $1 AND state <> 'pending'"

    async def are_there() -> bool:
        return bool((await office.fetch(query, endpoint_id))[0][0] >= count)

    await eventually(are_there, f"{count} ended deliveries")


async def attempted(office: Office, endpoint_id: str, count: int) -> None:
    """Wait until so many attempts are recorded."""
    query = "SELECT coalesce(sum(attempts), 0) FROM deliveries WHERE endpoint_id = $1"

    async def are_there() -> bool:
        return bool((await office.fetch(query, endpoint_id))[0][0] >= count)

    await eventually(are_there, f"{count} attempts")
