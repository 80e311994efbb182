"""The engines below tests: of a run's own, or lent by who starts run after run.

To start engines takes longer than most runs of a few tests do.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import asyncpg
import redis

from deploy.local import database, folder
from deploy.local.stack import Stack, StackOptions
from tests.databases import with_database

GIVEN: Final = "TENDER_TEST_ENGINES"
"""The data folder of engines that a run is to use instead of its own."""

ROOM: Final = "postgres"
"""The database from which others are dropped and made."""

_DATABASES: Final = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> $1"
_ROLES: Final = """
    SELECT rolname FROM pg_roles
    WHERE NOT rolsuper AND NOT rolreplication AND NOT starts_with(rolname, 'pg_')
"""


def options(data: Path) -> StackOptions:
    """What a run stands on: Postgres with a standby, Valkey and Kafka; no servers of ours.

    Lent engines have no standby.
    """
    given = os.environ.get(GIVEN)
    if given is None:
        return StackOptions(data, with_servers=False)
    lent = folder.read_endpoints(Path(given))
    return StackOptions(
        data,
        with_servers=False,
        postgres_url=lent.owner_url,
        redis_url=lent.redis_url,
        kafka_bootstrap=lent.kafka_bootstrap,
    )


class Lender:
    """Engines for one run after the other, each of which finds them empty."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    @classmethod
    @contextlib.contextmanager
    def running(cls, data: Path) -> Iterator["Lender"]:
        """Run them in a folder."""
        given = StackOptions(data, replicas=0, with_servers=False, migrations=None, tenant=None)
        with Stack(given) as stack:
            yield cls(stack)

    def environment(self) -> Mapping[str, str]:
        """Empty them, and return what the next run is to be told."""
        with redis.Redis.from_url(self._stack.endpoints.redis_url) as client:
            client.flushall()
        asyncio.run(self._renew())
        return {GIVEN: str(self._stack.options.data_dir)}

    async def _renew(self) -> None:
        """Drop every database and login that a run has left, and make the first database anew."""
        owner_url = self._stack.endpoints.owner_url
        name = database.name_in(owner_url)
        connection = await asyncpg.connect(with_database(owner_url, ROOM))
        try:
            for row in await connection.fetch(_DATABASES, ROOM):
                await connection.execute(f'DROP DATABASE "{row["datname"]}" WITH (FORCE)')
            for row in await connection.fetch(_ROLES):
                await connection.execute(f'DROP ROLE "{row["rolname"]}"')
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        connection = await asyncpg.connect(owner_url)
        try:
            await connection.execute("CREATE EXTENSION pg_stat_statements")
        finally:
            await connection.close()
