"""A shard's URL may name all its servers: which one of them is the primary now."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg

CLOSE_SECONDS_MAX: Final = 0.5
PATIENCE_SECONDS: Final = 0.5
"""How long a primary that answered waits for another server that may have been promoted since."""

_TIMELINE: Final = """
SELECT CASE WHEN pg_is_in_recovery() THEN ''
            ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_Found: TypeAlias = "tuple[Connection, str]"


def each(url: str) -> Sequence[str]:
    """Return a URL of every server that one with several hosts, as libpq's may have, names."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    credentials, at, hosts = parts.netloc.rpartition("@")
    if "host" in options:
        names, ports = options.pop("host").split(","), options.pop("port", "5432").split(",")
        options.pop("target_session_attrs", None)
        if len(names) == 1 < len(ports):
            names *= len(ports)
        ports = ports * len(names) if len(ports) == 1 else ports
        queries = (
            urlencode({"host": name, "port": port} | options, quote_via=quote, safe="/")
            for name, port in zip(names, ports, strict=True)
        )
        return [urlunsplit(parts._replace(query=query)) for query in queries]
    options.pop("target_session_attrs", None)
    query = urlencode(options, quote_via=quote, safe="/")
    return [
        urlunsplit(parts._replace(netloc=f"{credentials}{at}{host}", query=query))
        for host in hosts.split(",")
    ]


async def connect_primary(
    url: str, *, timeout_seconds: float, patience_seconds: float = PATIENCE_SECONDS, **options: Any
) -> Connection:
    """Connect to the server that takes writes; of two, to the one that was promoted last.

    An old primary that was paused while another was promoted still takes writes for itself when it
    wakes up, and its timeline is the lower one. Raises what asyncpg.connect raises.
    """
    urls = each(url)
    if len(urls) == 1:
        return await asyncpg.connect(url, timeout=timeout_seconds, **options)
    tasks = [asyncio.ensure_future(_connect(one, timeout_seconds, options)) for one in urls]
    try:
        return await _newest(tasks, patience_seconds)
    finally:
        for task in tasks:
            task.cancel()


async def timeline_of_newest(url: str, *, timeout_seconds: float) -> str:
    """Return the highest timeline of the servers that take writes now; empty if none does."""
    tasks = [asyncio.ensure_future(_connect(one, timeout_seconds, {})) for one in each(url)]
    await asyncio.wait(tasks, timeout=timeout_seconds)
    found = [task.result() for task in tasks if task.done() and task.exception() is None]
    for task in tasks:
        task.cancel()
    for connection, _ in found:
        connection.terminate()
    return max((timeline for _, timeline in found), default="")


async def timeline(connection: Connection) -> str:
    """Return the timeline that the server writes, which sorts; empty if it is a standby."""
    return str(await connection.fetchval(_TIMELINE))


async def _connect(url: str, timeout_seconds: float, options: dict[str, Any]) -> _Found:
    async with asyncio.timeout(timeout_seconds):
        connection = await asyncpg.connect(url, timeout=timeout_seconds, **options)
        try:
            return connection, await timeline(connection)
        except BaseException:
            connection.terminate()
            raise


async def _newest(tasks: "Sequence[asyncio.Future[_Found]]", patience_seconds: float) -> Connection:
    """Return the connection with the highest timeline, and end the others."""
    waiting = set(tasks)
    best: _Found | None = None
    failure: BaseException | None = None
    try:
        while waiting:
            done, waiting = await asyncio.wait(
                waiting,
                timeout=None if best is None else patience_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                break
            for task in done:
                if error := task.exception():
                    failure = error
                    continue
                found = task.result()
                loser = found
                if found[1] and (best is None or found[1] > best[1]):
                    loser, best = best or found, found
                if loser is not best:
                    loser[0].terminate()
    except BaseException:
        if best is not None:
            best[0].terminate()
        raise
    for task in waiting:
        task.add_done_callback(_end)
    if best is None:
        raise failure or asyncpg.TargetServerAttributeNotMatched("no server takes writes")
    return best[0]


def _end(task: "asyncio.Future[_Found]") -> None:
    """End a connection that came too late to be chosen."""
    if not task.cancelled() and task.exception() is None:
        task.result()[0].terminate()
