"""The schema's owner on Kubernetes is no superuser, and needs to be none."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy.local import database
from deploy.local.stack import Stack
from storage import migrate
from tests.databases import with_database

OWNER, NAME, PASSWORD = "plain_owner", "plain_owned", "5" * 16


@pytest.fixture
async def owned(engines: Stack) -> AsyncIterator[str]:
    """A database whose owner may nothing but own it; the group roles are there already."""
    admin = await asyncpg.connect(engines.endpoints.owner_url)
    try:
        await admin.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'")
        await admin.execute(f"CREATE DATABASE {NAME} OWNER {OWNER} TEMPLATE template0")
        url = with_database(engines.endpoints.owner_url, NAME)
        yield database.with_login(url, OWNER, PASSWORD)
        await admin.execute(f"DROP DATABASE {NAME} WITH (FORCE)")
        await admin.execute(f"DROP ROLE {OWNER}")
    finally:
        await admin.close()


async def test_migrations_run_as_an_owner_who_is_no_superuser(owned: str, engines: Stack) -> None:
    applied = await migrate.migrate(owned)

    assert len(applied) == len(migrate.load())
    for url in (engines.endpoints.processor_url, engines.endpoints.query_url):
        connection = await asyncpg.connect(with_database(url, NAME))
        try:
            assert await connection.fetchval("SELECT count(*) FROM payments") == 0
        finally:
            await connection.close()
