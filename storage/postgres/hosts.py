"""A shard's URL may name all its servers: which one of them is the primary now."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg

PATIENCE_SECONDS: Final = 0.5
"""How long a primary that answered waits for another server that may have been promoted since."""

_TIMELINE: Final = """
SELECT CASE WHEN pg_is_in_recovery() THEN ''
            ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Primary(NamedTuple):
    """A connection to a server that takes writes, on which timeline, and that server's own URL."""

    connection: Connection
    timeline: str
    url: str


def each(url: str) -> Sequence[str]:
    """Return a URL of every server that one with several hosts, as libpq's may have, names."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    credentials, at, hosts = parts.netloc.rpartition("@")
    options.pop("target_session_attrs", None)
    names, ports = options.pop("host", ""), options.pop("port", "")
    if not names:
        query = _query(options)
        netlocs = (f"{credentials}{at}{host}" for host in hosts.split(","))
        return [urlunsplit(parts._replace(netloc=netloc, query=query)) for netloc in netlocs]
    before, several = url.partition("?")[0], ports.split(",")
    if len(several) == 1:
        several *= names.count(",") + 1
    return [
        f"{before}?{_query({'host': host, 'port': port} | options)}"
        for host, port in zip(names.split(","), several, strict=True)
    ]


def _query(options: dict[str, str]) -> str:
    kept = {name: value for name, value in options.items() if value}
    return urlencode(kept, quote_via=quote, safe="/")


async def find_primary(
    url: str, *, timeout_seconds: float, patience_seconds: float = PATIENCE_SECONDS, **options: Any
) -> Primary:
    """Connect to the server that takes writes; of two, to the one that was promoted last.

    An old primary that was paused while another was promoted still takes writes for itself when it
    wakes up, and its timeline is the lower one. Raises what asyncpg.connect raises.
    """
    tasks = [asyncio.ensure_future(_connect(one, timeout_seconds, options)) for one in each(url)]
    try:
        return await _newest(tasks, patience_seconds)
    finally:
        for task in tasks:
            task.cancel()


async def newest_timeline(url: str, *, timeout_seconds: float) -> str:
    """Return the highest timeline of the servers that take writes now; empty if none answers."""
    tasks = [asyncio.ensure_future(_connect(one, timeout_seconds, {})) for one in each(url)]
    try:
        primary = await _newest(tasks, timeout_seconds)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return ""
    finally:
        for task in tasks:
            task.cancel()
    primary.connection.terminate()
    return primary.timeline


async def _connect(url: str, timeout_seconds: float, options: dict[str, Any]) -> Primary:
    """Connect to one server; raises TargetServerAttributeNotMatched if it is a standby."""
    async with asyncio.timeout(timeout_seconds):
        connection = await asyncpg.connect(url, timeout=timeout_seconds, **options)
        try:
            timeline = await connection.fetchval(_TIMELINE)
            if not timeline:
                raise asyncpg.TargetServerAttributeNotMatched("the server takes no writes")
        except BaseException:
            connection.terminate()
            raise
        return Primary(connection, timeline, url)


async def _newest(tasks: "Sequence[asyncio.Future[Primary]]", patience_seconds: float) -> Primary:
    """Return the one with the highest timeline, and end the others."""
    waiting = set(tasks)
    best: Primary | None = None
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
                if best is None or found.timeline > best.timeline:
                    found, best = best or found, found
                if found is not best:
                    found.connection.terminate()
    except BaseException:
        if best is not None:
            best.connection.terminate()
        raise
    finally:
        for task in waiting:
            task.add_done_callback(_end)
    if best is None:
        assert failure is not None, "somebody was asked"
        raise failure
    return best


def _end(task: "asyncio.Future[Primary]") -> None:
    """End a connection that came too late to be chosen."""
    if not task.cancelled() and task.exception() is None:
        task.result().connection.terminate()
