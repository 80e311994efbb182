"""Shard databases for tests. One is emptied and used again, which costs a tenth of a new one."""

from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

ENDED_MS_MAX: Final = 5_000
"""For each session that a test left behind."""

KEPT: Final = ("api_keys", "schema_migrations")
"""What a new shard has rows in; a test that changes them leaves its database to nobody."""

# A row of a catalogue that is written anew gets another xmin; TRUNCATE does that too.
_CATALOGUES: Final = (
    *("pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_index", "pg_proc"),
    *("pg_trigger", "pg_type", "pg_namespace", "pg_rewrite", "pg_policy", "pg_sequence"),
    *("pg_event_trigger", "pg_extension", "pg_publication", "pg_default_acl"),
)
_STAMP: Final = (
    "SELECT concat_ws(' ', "
    + ", ".join(
        f"(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM {name})"
        for name in _CATALOGUES
    )
    + ", (SELECT string_agg(setconfig::text, ' ') FROM pg_db_role_setting WHERE setdatabase ="
    " (SELECT oid FROM pg_database WHERE datname = current_database())), "
    + ", ".join(
        f"(SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {name} AS t)" for name in KEPT
    )
    + ")"
)
_WRITTEN: Final = """
    SELECT string_agg(quote_ident(relname), ', ') FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
    AND relname <> ALL ($1) AND pg_relation_size(oid) > 0
"""
_END_SESSIONS: Final = """
    SELECT coalesce(bool_and(pg_terminate_backend(pid, $1)), true) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# What was learned of rows that are gone would choose other plans.
_FORGET: Final = "DELETE FROM pg_statistic WHERE starelid >= 16384; SELECT pg_stat_reset()"


def with_database(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def with_place(url: str, place: str) -> str:
    """Return the URL of the same database at another `host:port`, behind a proxy for instance."""
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@{place}"))


class Databases:
    """Copies of a template on one server: those that are free, and more when none is."""

    def __init__(self, owner_url: str, template: str) -> None:
        """`owner_url` is a superuser's."""
        self._owner_url = owner_url
        self._template = template
        self._free: list[str] = []
        self._stamps: dict[str, str] = {}
        self._made = 0

    async def take(self) -> str:
        """Return the name of a database with the template's content."""
        if self._free:
            return self._free.pop()
        self._made += 1
        name = f"shard_{self._made}"
        await self._administer(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        connection = await self._connect(name)
        try:
            self._stamps[name] = await connection.fetchval(_STAMP)
        finally:
            await connection.close()
        return name

    async def give_back(self, name: str) -> None:
        """Empty a database for the next one; drop it if more than its content was changed."""
        if await self._emptied(name):
            self._free.append(name)
        else:
            del self._stamps[name]
            await self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    async def _emptied(self, name: str) -> bool:
        connection = await self._connect(name)
        try:
            ended = await connection.fetchval(_END_SESSIONS, ENDED_MS_MAX)
            if not ended or await connection.fetchval(_STAMP) != self._stamps[name]:
                return False
            if written := await connection.fetchval(_WRITTEN, list(KEPT)):
                # Triggers that keep rows from being deleted are not asked.
                await connection.execute("SET session_replication_role = replica")
                await connection.execute(f"TRUNCATE {written} RESTART IDENTITY")
            await connection.execute(_FORGET)
            self._stamps[name] = await connection.fetchval(_STAMP)
        finally:
            await connection.close()
        return True

    async def _connect(self, name: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(with_database(self._owner_url, name))

    async def _administer(self, sql: str) -> None:
        connection = await self._connect("template1")
        try:
            await connection.execute(sql)
        finally:
            await connection.close()
