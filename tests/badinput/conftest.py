"""One real stack, worlds for three tenants, and a look at the books before and after each test."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import grpc
import pytest

from deploy.local import devkey
from deploy.local.stack import Stack, StackOptions
from tests.badinput.wire import Wire
from tests.badinput.world import Builder, World

QUEUE_MAX = 64
"""Commands that the lane queues: few, so that a test can fill the queue."""

BOOKS = """
SELECT (SELECT count(*) FROM requests) AS requests,
       (SELECT count(*) FROM journal) AS journal,
       (SELECT count(*) FROM transfers) AS transfers,
       (SELECT count(*) FROM refunds) AS refunds,
       (SELECT count(*) FROM payments) AS payments,
       (SELECT sum(version) FROM payments) AS payment_steps,
       (SELECT sum(version) FROM merchants) AS merchant_steps,
       (SELECT sum(version) FROM accounts) AS account_steps,
       (SELECT string_agg(concat_ws(' ', id, posted, held, state), E'\\n' ORDER BY id)
          FROM accounts) AS accounts
"""


class Books:
    """The database as its owner sees it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def connection(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._dsn)
        return self._connection

    async def close(self) -> None:
        await (await self.connection()).close()

    async def read(self) -> dict[str, object]:
        """Return how much of everything there is, and every balance."""
        row = await (await self.connection()).fetchrow(BOOKS)
        assert row is not None
        return dict(row)


@pytest.fixture(scope="session")
def real_stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="tender-test-") as folder:
        options = StackOptions(
            Path(folder),
            replicas=0,
            processor_env={"TENDER_QUEUE_COMMANDS_MAX": str(QUEUE_MAX)},
        )
        with Stack(options) as stack:
            yield stack


@pytest.fixture(scope="session")
async def books(real_stack: Stack) -> AsyncIterator[Books]:
    books = Books(real_stack.endpoints.owner_url)
    yield books
    await books.close()


@pytest.fixture(scope="session")
async def wire(real_stack: Stack) -> AsyncIterator[Wire]:
    """Keys: dev, other and fuzz may do everything as those tenants; service, operator, merchant."""
    endpoints = real_stack.endpoints
    folder = endpoints.api_key_pepper_file.parent

    def key(tenant: str, *scopes: str) -> str:
        return devkey.create(endpoints.owner_url, folder, tenant=tenant, scopes=scopes)

    keys = {tenant: key(tenant, "service", "operator") for tenant in ("dev", "other", "fuzz")}
    keys |= {"service": key("dev", "service"), "operator": key("dev", "operator")}
    async with grpc.aio.insecure_channel(endpoints.gateway) as channel:
        yield Wire(channel, keys)


@pytest.fixture(scope="session")
async def world(wire: Wire, real_stack: Stack) -> World:
    """What the tenant of the tests has; the key `merchant` is its shop's own."""
    world = await Builder(wire, "dev").build()
    endpoints = real_stack.endpoints
    wire.keys["merchant"] = devkey.create(
        endpoints.owner_url,
        endpoints.api_key_pepper_file.parent,
        tenant="dev",
        scopes=["merchant"],
        merchant_id=world.shop,
    )
    return world


@pytest.fixture(scope="session")
async def other(wire: Wire) -> World:
    """What another tenant has."""
    return await Builder(wire, "other").build()


@pytest.fixture
async def unchanged(books: Books, world: World, other: World) -> AsyncIterator[None]:
    """Whatever a test does, nothing is stored and no money moves."""
    before = await books.read()
    yield
    assert await books.read() == before
