"""What the stack does inside a Postgres server: database, slots, logins, and probing it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg

from deploy.local import supervisor

Result = TypeVar("Result")

NAME = "tender"
CONNECT_SECONDS_MAX = 2.0
STATEMENT_SECONDS_MAX = 30.0

SLOT_STATUS = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1"
REPLAYED = "SELECT pg_last_wal_replay_lsn() >= $1::TEXT::PG_LSN"
# A slot that is still held by its old walsender cannot be dropped, so that one goes first.
END_WALSENDER = """
SELECT pg_terminate_backend(active_pid, 5000)
FROM pg_replication_slots
WHERE slot_name = $1 AND active
"""
DROP_SLOT = """
SELECT pg_drop_replication_slot(slot_name)
FROM pg_replication_slots
WHERE slot_name = $1
"""
CREATE_SLOT = "SELECT pg_create_physical_replication_slot($1, TRUE)"
DROP_OTHER_SLOTS = """
SELECT pg_drop_replication_slot(slot_name)
FROM pg_replication_slots
WHERE slot_name ~ '^replica[0-9]+$' AND NOT active AND slot_name <> ALL ($1::TEXT[])
"""
LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
RECEIVED = """
SELECT pg_is_in_recovery() AS standby,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE FALSE END AS paused,
       coalesce(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')
       - '0/0'::PG_LSN AS received,
       coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0'::PG_LSN AS replayed
"""
STREAMS = """
SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming' AND sender_port = $1)
"""
PROMOTE_SECONDS_MAX = 5
DATABASE_EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
ROLE_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
# pg_stat_statements keeps the text of what it counts, passwords included.
TRACK_NO_UTILITY = "SET pg_stat_statements.track_utility = off"


def url(user: str, password: str, where: str, *, name: str = NAME) -> str:
    """The URL of a database at `host:port`; nothing on loopback speaks TLS."""
    return f"postgresql://{user}:{password}@{where}/{name}?sslmode=disable"


def socket_url(tcp_url: str, folder: str) -> str:
    """The same database through the Unix socket in the folder."""
    parts = urlsplit(tcp_url)
    credentials = parts.netloc.rpartition("@")[0]
    query = f"host={quote(folder, safe='/')}&port={parts.port}"
    return urlunsplit(parts._replace(netloc=f"{credentials}@", query=query))


def sockets_url(tcp_url: str, folder: str, ports: Sequence[int]) -> str:
    """The same database on whichever of the servers is the primary, through their Unix sockets."""
    credentials = urlsplit(tcp_url).netloc.rpartition("@")[0]
    hosts = ",".join([quote(folder, safe="/")] * len(ports))
    query = f"host={hosts}&port={','.join(map(str, ports))}&target_session_attrs=read-write"
    return urlunsplit(urlsplit(tcp_url)._replace(netloc=f"{credentials}@", query=query))


def with_login(other_url: str, user: str, password: str) -> str:
    """The same database with another login."""
    parts = urlsplit(other_url)
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{where}"))


def at(other_url: str, where: str) -> str:
    """The same database and login on another server."""
    parts = urlsplit(other_url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@{where}"))


def named(other_url: str, name: str) -> str:
    """Another database of the same server, with the same login."""
    return urlunsplit(urlsplit(other_url)._replace(path=f"/{name}"))


def where(of_url: str) -> str:
    """What may be shown of a URL: its host and port."""
    return urlsplit(of_url).netloc.rpartition("@")[2] or unquote(urlsplit(of_url).query)


def name_in(of_url: str) -> str:
    """The name of a URL's database."""
    return urlsplit(of_url).path.lstrip("/")


def probe(dsn: str) -> None:
    """Raise NotReady unless the server lets us in."""
    try:
        run_async(_fetch_value(dsn, "SELECT 1"))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise supervisor.NotReady(f"{type(error).__name__}: {error}") from error


def position(dsn: str) -> str:
    """How far the primary's journal of changes reaches now."""
    return str(ask(dsn, "SELECT pg_current_wal_lsn()::TEXT"))


def probe_replayed(dsn: str, primary_position: str) -> None:
    """Raise NotReady unless the replica shows everything up to the primary's position."""
    probe(dsn)
    replayed = ask(dsn, REPLAYED, primary_position)
    if not replayed:
        raise supervisor.NotReady(f"{where(dsn)} has not replayed {primary_position} yet")


def answers(dsn: str) -> bool:
    """Whether the server answers at all, be it that it has no room."""
    try:
        run_async(_fetch_value(dsn, "SELECT 1"))
    except (asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
        return False
    except asyncpg.PostgresError:
        return True
    except LOST:
        return False
    return True


def received(dsn: str) -> tuple[int, int] | None:
    """How far a standby has got what its primary wrote, and replayed it; None if it is none.

    One whose replay was paused goes on from here.
    """
    row = ask_row(dsn, RECEIVED)
    if row["paused"]:
        ask(dsn, "SELECT pg_wal_replay_resume()")
    return (int(row["received"]), int(row["replayed"])) if row["standby"] else None


def promote(dsn: str) -> None:
    """Make a standby a primary, unless it is one."""
    if ask(dsn, "SELECT pg_is_in_recovery()"):
        ask(dsn, "SELECT pg_promote(TRUE, $1)", PROMOTE_SECONDS_MAX)
    if ask(dsn, "SELECT pg_is_in_recovery()"):
        raise supervisor.NotReady(f"{where(dsn)} was not promoted")


def ensure_slot(dsn: str, name: str) -> None:
    """Keep on this primary what a standby needs from now on."""
    if slot_status(dsn, name) is None:
        ask(dsn, CREATE_SLOT, name)


def reload(dsn: str) -> None:
    """Let a server read its settings again."""
    ask(dsn, "SELECT pg_reload_conf()")


def is_streaming(dsn: str, port: int) -> bool:
    """Whether a standby gets what the server at that port writes."""
    return bool(ask(dsn, STREAMS, port))


def slot_status(dsn: str, name: str) -> str | None:
    """Whether the primary keeps what that replica needs ("lost": no); None without a slot."""
    status: str | None = ask(dsn, SLOT_STATUS, name)
    return status


def renew_slot(dsn: str, name: str) -> None:
    """Give a replica that starts from nothing a new slot."""
    for statement in (END_WALSENDER, DROP_SLOT, CREATE_SLOT):
        ask(dsn, statement, name)


def ask_row(dsn: str, query: str, *arguments: object) -> Any:
    """The first row of an answer, None if there is none; raises NotReady."""
    return next(iter(ask_rows(dsn, query, *arguments)), None)


def ask_rows(dsn: str, query: str, *arguments: object) -> Sequence[Any]:
    """All rows of an answer; raises NotReady."""

    async def work() -> Sequence[Any]:
        async with _connected(dsn) as connection:
            return await connection.fetch(query, *arguments)

    try:
        return run_async(work())
    except LOST as error:
        raise supervisor.NotReady(f"{where(dsn)}: {error}") from error


def ask(dsn: str, query: str, *arguments: object) -> Any:
    """The one value of an answer; raises NotReady."""
    try:
        return run_async(_fetch_value(dsn, query, *arguments))
    except LOST as error:
        raise supervisor.NotReady(f"{where(dsn)}: {error}") from error


@contextlib.asynccontextmanager
async def _connected(dsn: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(
        dsn,
        timeout=CONNECT_SECONDS_MAX,
        command_timeout=STATEMENT_SECONDS_MAX,
        # What is made here is made again at the next start, and standbys may not be there yet.
        server_settings={"synchronous_commit": "local"},
    )
    try:
        yield connection
    finally:
        await connection.close()


async def _fetch_value(dsn: str, query: str, *arguments: object) -> Any:
    async with _connected(dsn) as connection:
        return await connection.fetchval(query, *arguments)


async def prepare_server(
    maintenance_url: str,
    databases: Sequence[str],
    replication: tuple[str, str],
    replicas: Sequence[str],
) -> None:
    """Make what an embedded primary needs beside the schema, and drop forgotten replicas' slots."""
    async with _connected(maintenance_url) as connection:
        for name in databases:
            if not await connection.fetchval(DATABASE_EXISTS, name):
                # A constant and a number: nothing here needs quoting.
                await connection.execute(f"CREATE DATABASE {name}")
        login, password = replication
        await _ensure_login(connection, login, password, "REPLICATION")
        await connection.execute(DROP_OTHER_SLOTS, list(replicas))
    for name in databases:
        async with _connected(named(maintenance_url, name)) as connection:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


async def ensure_database(owner_url: str, name: str) -> None:
    """Make a database beside that of a URL, unless it is there."""
    async with _connected(owner_url) as connection:
        if not await connection.fetchval(DATABASE_EXISTS, name):
            # A constant: nothing here needs quoting.
            await connection.execute(f"CREATE DATABASE {name}")
            await connection.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")


async def let_in(owner_url: str, group: str) -> None:
    """Let a group connect to the database of a URL, from which others are kept out."""
    async with _connected(owner_url) as connection:
        await connection.execute(f"GRANT CONNECT ON DATABASE {name_in(owner_url)} TO {group}")


async def prepare_logins(owner_url: str, logins: Sequence[tuple[str, str, str]]) -> None:
    """Give the servers their logins: (login, password, group role).

    A server that an older schema knows nothing of, and has no group for, gets none.
    """
    async with _connected(owner_url) as connection:
        for login, password, group in logins:
            if await connection.fetchval(ROLE_EXISTS, group):
                await _ensure_login(connection, login, password)
                await connection.execute(f"GRANT {group} TO {login}")


async def _ensure_login(
    connection: "asyncpg.Connection[asyncpg.Record]", login: str, password: str, option: str = ""
) -> None:
    await connection.execute(TRACK_NO_UTILITY)
    verb = "ALTER" if await connection.fetchval(ROLE_EXISTS, login) else "CREATE"
    # Names are constants and passwords are hexadecimal: nothing here needs quoting.
    await connection.execute(f"{verb} ROLE {login} LOGIN {option} PASSWORD '{password}'")


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end, also below a caller whose thread has an event loop already."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()
