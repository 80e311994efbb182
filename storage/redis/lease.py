"""The lane's lease, also called the balance lock: says quickly that an owner has died (R11).

It decides nothing about money. Whoever holds it may end the session of an owner that stopped
renewing; the advisory lock and the epoch in Postgres decide who writes.
"""

import asyncio
import threading
from pathlib import Path
from typing import Any, Final

import redis
import structlog
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel

from storage.redis import address

LIFE_MS: Final = 2_000
RENEW_SECONDS: Final = 0.5
"""Three renewals may fail before the lease runs out."""
TIMEOUT_SECONDS: Final = 0.25

_LUA: Final = Path(__file__).parent / "lua"

log = structlog.get_logger()

Client = redis.Redis | redis.RedisCluster
_FAILED: Final = (redis.RedisError, RedisClusterException)


def _client(where: address.Address) -> Client:
    """Return a client without hidden retries: an answer that comes late is worth nothing here."""
    options: dict[str, Any] = {
        "username": where.username or None,
        "password": where.password or None,
        "ssl": where.tls,
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }
    match where.kind:
        case address.Kind.CLUSTER:
            nodes = [
                ClusterNode(host, port)  # type: ignore[no-untyped-call]
                for host, port in where.hosts
            ]
            return redis.RedisCluster(startup_nodes=nodes, **options)
        case address.Kind.SENTINEL:
            timeouts = {"socket_timeout": TIMEOUT_SECONDS}
            timeouts["socket_connect_timeout"] = TIMEOUT_SECONDS
            sentinel = Sentinel(  # type: ignore[no-untyped-call]
                where.hosts, sentinel_kwargs=timeouts
            )
            master: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
                where.service, db=where.database, **options
            )
            return master
        case address.Kind.NODE:
            [(host, port)] = where.hosts
            return redis.Redis(host, port, db=where.database, **options)


class RedisLease:
    """One shard's lease. Renewed by a thread of its own, so a busy event loop does not lose it."""

    def __init__(self, url: str, shard: str, *, life_ms: int = LIFE_MS) -> None:
        self._address = address.parse(url)
        self._opened: Client | None = None
        self._key = f"tender:lease:{{{shard}}}"
        self._life_ms = life_ms
        self._renew = (_LUA / "lease_renew.lua").read_text()
        self._release = (_LUA / "lease_release.lua").read_text()
        self._stop: threading.Event | None = None
        self._thread: threading.Thread | None = None

    async def claim(self, owner: str) -> bool | None:
        """Say whether the lease is now the owner's; None when Redis cannot be asked."""
        return await asyncio.to_thread(self._try_renew, owner)

    def keep(self, owner: str) -> None:
        """Hold the lease from now on: the caller has the lane, whoever held the lease before."""
        self._end_thread()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._keep, args=(owner, self._stop), name="lane-lease", daemon=True
        )
        self._thread.start()

    async def release(self, owner: str) -> None:
        """Give the lease up, so that a successor need not wait for it to run out."""
        await asyncio.to_thread(self._end, owner)

    def _keep(self, owner: str, stop: threading.Event) -> None:
        try:
            self._redis().set(self._key, owner, px=self._life_ms)
        except _FAILED as error:
            log.warning("lease_not_written", reason=type(error).__name__)
        while not stop.wait(RENEW_SECONDS * self._life_ms / LIFE_MS):
            self._try_renew(owner)

    def _try_renew(self, owner: str) -> bool | None:
        try:
            return bool(self._redis().eval(self._renew, 1, self._key, owner, str(self._life_ms)))
        except _FAILED as error:
            log.warning("lease_not_renewed", reason=type(error).__name__)
            return None

    def _end(self, owner: str) -> None:
        self._end_thread()
        try:
            self._redis().eval(self._release, 1, self._key, owner)
        except _FAILED as error:
            log.warning("lease_not_released", reason=type(error).__name__)

    def _redis(self) -> Client:
        """Return the client; that of a Cluster can be made only while the Cluster answers."""
        if self._opened is None:
            self._opened = _client(self._address)
        return self._opened

    def _end_thread(self) -> None:
        if self._stop is not None and self._thread is not None:
            self._stop.set()
            self._thread.join()
        self._stop = self._thread = None
