"""The service's database, reached as its own role, and the servers that take its messages."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local import database
from deploy.local.services import SERVICES
from deploy.local.stack import Stack
from services.database import Pool, close_pool, open_pool
from services.notifications import builtins_store, contact_store, handlers
from services.notifications.contacts import Contact
from services.notifications.handlers import Payments
from storage import migrate
from storage.postgres.inbox import PostgresInbox
from tender.v1 import event_pb2, notification_pb2
from tests.databases import with_database
from tests.services.notifications import makers
from tests.services.notifications.mailbox import Mailbox
from tests.services.notifications.provider import Provider

NAME = "tender_notifications"
LOGIN = "tender_notifications_test"
PASSWORD = "only-in-tests"
EMPTIED = """
TRUNCATE inbox, account_owners, merchant_names, contacts, notifications, unowned_events;
DELETE FROM templates WHERE tenant_id <> ''
"""


@dataclass(frozen=True)
class Office:
    """The service's database: its URL as the service, and as the owner."""

    url: str
    owner_url: str

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Return the rows of a query, as the owner."""
        connection = await asyncpg.connect(self.owner_url)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    async def messages(self) -> list[asyncpg.Record]:
        """Return all messages, in the order in which they were written."""
        return await self.fetch("SELECT * FROM notifications ORDER BY number")

    async def states(self) -> list[str]:
        """Return their states."""
        return [row["state"] for row in await self.messages()]


@pytest.fixture(scope="session")
async def migrated(engines: Stack) -> AsyncIterator[Office]:
    """The database with what comes with this version, as a stack prepares it."""
    name = f"{NAME}_{id(engines):x}"
    owner_url = with_database(engines.endpoints.owner_url, name)
    administrator = await asyncpg.connect(with_database(owner_url, "template1"))
    try:
        await administrator.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        migrations = SERVICES["notifications"].migrations
        assert migrations is not None
        await migrate.migrate(owner_url, migrations)
        await database.prepare_logins(owner_url, [(LOGIN, PASSWORD, NAME)])
        await database.let_in(owner_url, NAME)
        office = Office(database.with_login(owner_url, LOGIN, PASSWORD), owner_url)
        pool = await open_pool(office.url, "test", size=1)
        await builtins_store.bring(pool)
        await close_pool(pool)
        yield office
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await administrator.close()


@pytest.fixture
async def office(migrated: Office) -> Office:
    """The database without anybody's messages."""
    connection = await asyncpg.connect(migrated.owner_url)
    try:
        await connection.execute(EMPTIED)
    finally:
        await connection.close()
    return migrated


@pytest.fixture
async def pool(office: Office) -> AsyncIterator[Pool]:
    """Connections as the service has them."""
    opened = await open_pool(office.url, "test notifications", size=8)
    yield opened
    await close_pool(opened)


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """A mail server."""
    async with Mailbox() as server:
        yield server


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    """A provider of text and push messages."""
    async with Provider(tmp_path) as server:
        yield server


class Desk:
    """Gives events and requests their effect as the chassis does."""

    def __init__(self, office: Office) -> None:
        self._inbox = PostgresInbox(office.url, "test desk")
        self.payments = Payments()
        self.owners = handlers.Owners()
        self.requests = handlers.Requests()

    async def paid(self, *events: event_pb2.Event) -> None:
        """Deliver events of payments."""
        await self._deliver(self.payments, [it.id for it in events], events)

    async def told(self, *events: event_pb2.Event) -> None:
        """Deliver events of accounts and merchants."""
        await self._deliver(self.owners, [it.id for it in events], events)

    async def asked(self, *requests: notification_pb2.NotificationRequest) -> None:
        """Deliver requests."""
        ids = [f"{it.tenant_id}/{it.id}" for it in requests]
        await self._deliver(self.requests, ids, requests)

    async def _deliver(self, handler: Any, ids: list[str], messages: Any) -> None:
        async with self._inbox.batch(handler.name, ids) as (transaction, fresh):
            new = [it for id, it in zip(ids, messages, strict=True) if id in fresh]
            if new:
                await handler.handle(new, transaction)

    async def close(self) -> None:
        """Give the connection back."""
        await self._inbox.close()


@pytest.fixture
async def desk(office: Office) -> AsyncIterator[Desk]:
    """What is delivered has its effect."""
    made = Desk(office)
    yield made
    await made.close()


@pytest.fixture
async def anna(pool: Pool, desk: Desk) -> Contact:
    """Somebody who has an account and is reached by e-mail, in English."""
    await desk.told(makers.account_event())
    return await known(pool, makers.contact())


async def known(pool: Pool, contact: Contact) -> Contact:
    """Store a contact."""
    async with pool.acquire() as connection:
        await contact_store.put(connection, contact)
    return contact
